# What there is to know about mpirun: the options that bind ranks to hosts and cores, what it says when
# it ends, and whom and what it leaves behind. Sourced by launch/local, launch/lib/guard and
# launch/slurm.sbatch.
# shellcheck shell=bash

# GPUs that a program started here sees.
count_gpus() {
  if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
    tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c . || true
  else
    nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true
  fi
}

# The CPU quota of this process's control groups, as src/base/cpu_quota.h finds it: whole cores, at least
# one; nothing without a quota. TOP is the folder in which /proc and /sys lie.
cpu_quota() { # TOP
  local top=$1 mounted folder kind options group above
  while read -r mounted folder kind options; do
    group=$(awk -F: -v kind="$kind" '
      kind == "cgroup2" ? $2 == "" : "," $2 "," ~ /,cpu,/ { sub(/^[^:]*:[^:]*:/, ""); print; exit }
    ' "$top/proc/self/cgroup")
    [[ $kind == cgroup2 || ,$options, == *,cpu,* ]] || continue
    above=${mounted%/}
    if [[ $group/ == "$above"/* ]]; then group=${group#"$above"}; else group=""; fi
    while :; do
      cat "$top$folder$group/cpu.max" 2>/dev/null ||
        paste -d ' ' "$top$folder$group"/cpu.cfs_{quota,period}_us 2>/dev/null || true
      [[ -n $group ]] || break
      group=${group%/*}
    done
  done < <(awk '{ for (i = 7; $i != "-"; i++); if ($(i + 1) ~ /^cgroup2?$/) print $4, $5, $(i + 1), $(i + 3) }' \
    "$top/proc/self/mountinfo" 2>/dev/null) |
    awk '$1 + 0 > 0 && (best == "" || $1 / $2 < best) { best = $1 / $2 }
      END { if (best != "") { n = int(best + 0.5); print (n > 0 ? n : 1) } }'
}

# Cores, not hardware threads, that this process may use.
count_cores() {
  local allowed quota
  allowed=$(awk '$1 == "Cpus_allowed_list:" { print $2 }' /proc/self/status)
  quota=$(cpu_quota /)
  lscpu --online --parse=CPU,CORE,SOCKET 2>/dev/null | awk -F, -v allowed="$allowed" -v quota="$quota" '
    BEGIN {
      n = split(allowed, parts, ",")
      for (i = 1; i <= n; i++) {
        m = split(parts[i], range, "-")
        for (cpu = range[1]; cpu <= range[m]; cpu++) ok[cpu] = 1
      }
    }
    /^#/ || !($1 in ok) || ($2, $3) in seen { next }
    { seen[$2, $3] = 1; cores++ }
    END {
      if (quota != "" && quota < cores) cores = quota
      print (cores > 0 ? cores : 1)
    }'
}

# The slots of each host of a host file, a number a line; fails on a line that is none.
slots_of() { # HOST_FILE
  awk '{ sub(/#.*/, "") }
    NF == 0 { next }
    NF == 1 { print 1; next }
    NF == 2 && $2 ~ /^slots=[1-9][0-9]*$/ { print substr($2, 7); next }
    { bad = 1; print FILENAME ":" FNR ": found \"" $0 "\"" > "/dev/stderr" }
    END { exit bad }' "$1"
}

# A word a line. Each rank gets its share of a host's cores; hosts are taken to have as many as this.
# Other hosts do not inherit the environment.
mpirun_options() { # RANKS_OF_A_HOST [HOST_FILE]
  local cores name
  cores=$(count_cores)
  if (($1 > cores)); then
    printf '%s\n' --oversubscribe --bind-to none
  else
    printf '%s\n' --map-by "slot:PE=$((cores / $1))" --bind-to core
  fi
  [[ -n ${2:-} ]] || return 0
  printf '%s\n' --hostfile "$2"
  for name in CIFAR10_DIR CIFAR_RESTART_COUNT OMP_NUM_THREADS; do
    [[ -z ${!name+set} ]] || printf '%s\n' -x "$name"
  done
}

# Whom a signal killed, going by mpirun's messages: "rank N"; "a rank", as it does not always say
# which; mpirun, which then said nothing; or nobody, and the code is mpirun's own.
killed() { # MESSAGES
  sed -n 's/^mpirun noticed that process \(rank [0-9]*\) .* exited on signal.*/\1/p' "$1" |
    grep . ||
    { grep -q 'job has been aborted' "$1" && echo "a rank"; } ||
    { [[ -s $1 ]] || echo mpirun; }
}

# A host that could not be reached, or not any more.
host_lost() { # MESSAGES
  grep -qE 'unable to reliably start|failed after launch|lost communication with a remote daemon' "$1"
}

# mpirun's messages without those on how the job ended, which the exit code says.
unexpected() {
  awk '/^-+$/ { flush_block(); next }
    /ORTE_ERROR_LOG.*show_help/ { next }
    { block = block $0 "\n" }
    function flush_block() {
      if (block !~ /MPI_ABORT was invoked|non-zero (exit code|status)|exited on signal/)
        printf "%s", block
      block = ""
    }
    END { flush_block() }'
}

# The living processes of a session.
processes_of() { # SESSION
  sed -n "s/^\([0-9]*\) (.*) [^XZ] [0-9]* [0-9]* $1 .*/\1/p" /proc/[0-9]*/stat 2>/dev/null || true
}

# Nobody may be left when the next start begins. Ranks whose mpirun was killed end by themselves in
# some seconds, with a checkpoint, but not when they hang. Fails when someone cannot be ended.
end_session() { # SESSION
  local began=$SECONDS left
  while ((SECONDS - began < 18)); do
    mapfile -t left < <(processes_of "$1")
    ((${#left[@]})) || return 0
    ((SECONDS - began < 8)) || kill -KILL "${left[@]}" 2>/dev/null || true
    sleep 0.1 || true
  done
  return 1
}

# What mpirun removes unless it is killed: on this host its session folder, ompi.HOST.USER/pid.MPIRUN,
# and the ranks' shared memory, vader_segment.HOST.USER.JOB.RANK. contact.txt in the session folder
# begins with the number of mpirun's own job; that of its ranks is the next.
remove_leftovers() { # MPIRUN
  local base host name session job
  base=${OMPI_MCA_orte_tmpdir_base:-${TMPDIR:-${TEMP:-${TMP:-/tmp}}}}
  name=$(uname -n)
  for host in "$name.$EUID" "${name%%.*}.$EUID"; do
    session=$base/ompi.$host/pid.$1
    [[ -d $session ]] || continue
    job=$(sed -n '1s/^\([0-9]\{1,10\}\)\..*/\1/p' "$session/contact.txt" 2>/dev/null) || job=""
    [[ -z $job ]] || rm -f "${OMPI_MCA_btl_vader_backing_directory:-/dev/shm}/vader_segment.$host.$(
      printf %x $((job + 1)))".* || true
    rm -rf "$session" || true
    rmdir "$base/ompi.$host" 2>/dev/null || true
  done
}
