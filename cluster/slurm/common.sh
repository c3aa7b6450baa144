# What up and down share; sourced by them.
# shellcheck shell=bash disable=SC2034

readonly default_dir=/run/cifar-ddp-slurm default_port=27817
readonly services="n1 n2 slurmctld munged" # in the order in which they are stopped

die() { # CODE MESSAGE
  echo "cluster/slurm/$(basename "$0"): error: $2" >&2
  exit "$1"
}

# The value that follows an option, an absolute path.
folder_of() { # OPTION VALUE
  [[ -n $2 ]] || die 2 "$1: nothing follows; expected a folder"
  realpath -m "$2"
}

# Not a cluster that somebody works with.
refuse_other_folder() {
  grep -qs '^# The configuration of cluster/slurm,' "$dir/slurm.conf" ||
    die 2 "$dir/slurm.conf: not written by cluster/slurm/up; expected another --dir"
}

# The process of a service, if it runs. Its arguments name the folder, so that a process number that
# went to somebody else is not taken for it.
pid_of() { # SERVICE
  local pid
  pid=$(cat "$dir/pids/$1" 2>/dev/null) || return 0
  ! tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$dir/" || echo "$pid"
}
