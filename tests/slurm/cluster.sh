# shellcheck shell=bash
# A real Slurm on this machine, for run.sh: one munged, one slurmctld and a slurmd for each virtual node (n1, n2, ...); no systemd, no
# cgroups, nothing written under /etc. Everything lies in $cluster, a folder of
# the caller.
#
# CPUs and memory of the nodes are declared (config_overrides), so that a larger cluster can be played. Partitions: main (default),
# and low, whose jobs main preempts: notice by the job's --signal, 5 s of grace, then requeue.

cluster=${cluster:?}

cluster_find() { command -v "$1" || command -v "$1-wlm"; } # Debian's daemons have the suffix

cluster_installed() {
    cluster_find slurmctld && cluster_find slurmd && command -v munged && command -v srun
} >/dev/null 2>&1

# Installs slurm-wlm and munge when they are missing; false, with the reason on stdout, when that cannot be done.
cluster_install() {
    local hook=/usr/sbin/policy-rc.d made=0 log=$cluster/apt.log
    local apt=(apt-get -q -o DPkg::Lock::Timeout=120)
    cluster_installed && return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "Slurm is not installed (Debian: apt-get install slurm-wlm munge, as root)"
        return 1
    fi
    if [ ! -e $hook ]; then # keeps the packages from starting the system's own daemons
        printf '#!/bin/sh\nexit 101\n' >$hook && chmod 755 $hook && made=1
    fi
    export DEBIAN_FRONTEND=noninteractive
    "${apt[@]}" install -y --no-install-recommends slurm-wlm munge >"$log" 2>&1 || {
        "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends slurm-wlm munge
    } >>"$log" 2>&1
    [ $made = 0 ] || rm -f $hook
    cluster_installed || { echo "Slurm could not be installed: $(tail -n 1 "$log")"; return 1; }
}

# cluster_ports NODES: the first of NODES + 1 free ports; anywhere, so that two of us do not choose the same.
cluster_ports() {
    local base k try
    for try in 1 2 3 4 5 6 7 8; do
        base=$((20000 + RANDOM % 600 * 20))
        for ((k = 0; k <= $1; k++)); do
            (exec 3<>"/dev/tcp/127.0.0.1/$((base + k))") 2>/dev/null && continue 2
        done
        echo $base
        return
    done
    return "$try"
}

# cluster_conf NODES CPUS PORT. cred_expire: a requeued job may start after that many seconds (Slurm's default: two minutes).
cluster_conf() {
    local host user nodes="n[1-$1]" ports="$(($3 + 1))-$(($3 + $1))"
    host=$(hostname -s 2>/dev/null || hostname)
    user=$(id -un)
    cat <<CONF
ClusterName=umedtest
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
SlurmctldPort=$3
AuthType=auth/munge
AuthInfo=socket=$cluster/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool/%n
TmpFS=$cluster/tmp/%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.%n.pid
SlurmctldLogFile=$cluster/log/slurmctld.log
SlurmdLogFile=$cluster/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2,bf_min_age_reserve=0
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=3600
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SlurmctldTimeout=60
SlurmdTimeout=60
InactiveLimit=0
KillWait=5
MessageTimeout=30
CompleteWait=0
PropagateResourceLimitsExcept=MEMLOCK
DefMemPerCPU=500
NodeName=$nodes NodeHostname=$host NodeAddr=127.0.0.1 Port=$ports CPUs=$2 Boards=1 SocketsPerBoard=1 CoresPerSocket=$2 ThreadsPerCore=1 RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=$nodes Default=YES MaxTime=INFINITE DefaultTime=30 State=UP PriorityTier=10 PreemptMode=OFF OverSubscribe=NO
PartitionName=low Nodes=$nodes MaxTime=INFINITE DefaultTime=30 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=5 OverSubscribe=NO
CONF
}

# cluster_start NAME COMMAND...: a daemon in the foreground form, in a session of its own; its process id goes to pids/NAME.
cluster_start() {
    local name=$1
    shift
    setsid "$@" </dev/null >>"$cluster/log/$name.out" 2>&1 &
    echo $! >"$cluster/pids/$name"
}

# The process of a daemon, when it is alive and still the program that was started.
cluster_pid() {
    local pid
    pid=$(cat "$cluster/pids/$1" 2>/dev/null) && tr "\0" " " 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$cluster" && echo "$pid"
}

cluster_idle() { timeout 10 sinfo -h -N -p main -o '%t' 2>/dev/null | grep -cx idle; }

# cluster_up NODES CPUS: starts the daemons and waits until every node is idle. Slurm's commands need SLURM_CONF=$cluster/slurm.conf.
cluster_up() {
    local nodes=$1 cpus=$2 port k name
    mkdir -p "$cluster"/{munge,state,spool,log,pids,tmp}
    chmod 700 "$cluster/state"
    for ((k = 1; k <= nodes; k++)); do mkdir -p "$cluster/spool/n$k" "$cluster/tmp/n$k"; done
    port=$(cluster_ports "$nodes") || { echo "no free ports for Slurm's daemons"; return 1; }
    cluster_conf "$nodes" "$cpus" "$port" >"$cluster/slurm.conf"
    local -x SLURM_CONF=$cluster/slurm.conf
    (umask 077; head -c 1024 /dev/urandom >"$cluster/munge/key")
    cluster_start munged "$(command -v munged)" --foreground --force --key-file="$cluster/munge/key" \
        --socket="$cluster/munge/socket" --pid-file="$cluster/munge/pid" --log-file="$cluster/munge/log" \
        --seed-file="$cluster/munge/seed" --num-threads=2
    for ((k = 0; k < 100; k++)); do [ -S "$cluster/munge/socket" ] && break; sleep 0.1; done
    cluster_start slurmctld "$(cluster_find slurmctld)" -D -i -f "$SLURM_CONF"
    for ((k = 1; k <= nodes; k++)); do cluster_start "slurmd.n$k" "$(cluster_find slurmd)" -D -N "n$k" -f "$SLURM_CONF"; done
    for ((k = 0; k < 240; k++)); do
        [ "$(cluster_idle)" = "$nodes" ] && return 0
        for name in "$cluster"/pids/*; do cluster_pid "$(basename "$name")" >/dev/null || break 2; done
        sleep 0.25
    done
    tail -n 5 "$cluster"/log/* >&2
    echo "Slurm's daemons did not come up: $(grep -hiE 'fatal|error' "$cluster"/log/* "$cluster/munge/log" 2>/dev/null | head -n 1)"
    return 1
}

# Cancels the jobs, ends the daemons by their process ids, munged last.
cluster_down() {
    local k name pid
    [ -d "$cluster/pids" ] || return 0
    if cluster_pid slurmctld >/dev/null; then
        timeout 10 scancel --full --signal=KILL -t RUNNING -u "$(id -un)" >/dev/null 2>&1
        timeout 10 scancel -u "$(id -un)" >/dev/null 2>&1
        for ((k = 0; k < 40; k++)); do [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break; sleep 0.25; done
    fi
    for name in "$cluster"/pids/slurm* munged; do
        name=$(basename "$name")
        pid=$(cluster_pid "$name") || continue
        kill -TERM "$pid"
        for ((k = 0; k < 40; k++)); do cluster_pid "$name" >/dev/null || break; sleep 0.25; done
        pid=$(cluster_pid "$name") && kill -KILL "$pid"
    done
    rm -rf "$cluster/pids" "$cluster/state" "$cluster/spool"
}
