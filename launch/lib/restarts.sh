# What launch/local and the Slurm scripts share: to go on after an end, and what an end means.
# shellcheck shell=bash disable=SC2034

readonly peer_lost=6 stopped=75

# The value of an option, the last one given; fails without one.
value_of() { # OPTION ARGUMENTS...
  local option=$1 value="" found=1
  shift
  while (($#)); do
    case $1 in
      "$option") value=${2:-} found=0 ;;
      "$option"=*) value=${1#*=} found=0 ;;
    esac
    shift
  done
  echo "$value"
  return $found
}

newest_checkpoint() { # RUN_DIR
  [[ ! -d $1/checkpoints ]] || find "$1/checkpoints" -name 'step-*.pt' | sort -V | tail -n 1
}

# What the program's exit codes mean, and whether another start would end the same way.
meaning_of() { # CODE
  case $1 in
    0) echo "code 0, done" ;;
    2) echo "code 2, arguments or configuration: a restart would be refused too" ;;
    3) echo "code 3, the data set: a restart would find the same" ;;
    4) echo "code 4, a file of the run cannot be read or written: a restart would find the same" ;;
    5) echo "code 5, diverged: a restart would compute the same numbers" ;;
    "$peer_lost") echo "code 6, a rank was lost or late" ;;
    7) echo "code 7, replicas differ: a rank computes or stores wrong numbers" ;;
    "$stopped") echo "code 75, stopped by another's signal" ;;
    *) echo "code $1: not known to be mended by a restart" ;;
  esac
}
