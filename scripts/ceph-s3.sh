#!/usr/bin/env bash
# A real S3 server for tests on one machine: Ceph's RADOS Gateway from Debian's packages, all of it under one folder.
#
#   scripts/ceph-s3.sh start DIR   installs what is missing, starts monitor, storage and gateway, makes a user and the
#                                  bucket "fixity", prints the TEST_S3_… lines that the tests read
#   scripts/ceph-s3.sh gc DIR      makes the gateway's own garbage collection run now, to its end
#   scripts/ceph-s3.sh stop DIR    stops all of it and removes DIR
#
# The S3 tests start and stop one by themselves. To keep one between runs:
#
#   eval "$(scripts/ceph-s3.sh start /tmp/ceph)"; npm test; scripts/ceph-s3.sh stop /tmp/ceph
#
# Listens on loopback only: CEPH_S3_PORT (17480) is the gateway, the next 49 ports are for the rest. Only the packages
# (about 60 MB) need root. It takes some 4 seconds to start and 350 MB of memory; the disk grows with what is stored.
set -euo pipefail

fail() { printf 'ceph-s3: %s\n' "$*" >&2; exit 1; }

[ $# = 2 ] || fail "usage: $0 start|gc|stop DIR"
verb=$1
dir=$(realpath -m -- "$2")
conf=$dir/ceph.conf
port=${CEPH_S3_PORT:-17480}
access_key=fixity-access-key secret_key=fixity-secret-key bucket=fixity
# Never the machine's own /etc/ceph.
export CEPH_CONF=$conf CEPH_ARGS=

install_packages() {
  local missing=() name
  for name in ceph-mon ceph-osd radosgw; do
    command -v "$name" >/dev/null || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  # Debian's packages start what they install, unless this script refuses.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap "rm -f $policy" EXIT
  fi
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
    </dev/null >"$dir/apt.log" 2>&1 || fail "cannot install ${missing[*]}: see $dir/apt.log"
}

write_conf() {
  cat >"$conf" <<EOF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = [v2:127.0.0.1:$((port + 1))]
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_bind_port_min = $((port + 10))
ms_bind_port_max = $((port + 49))
# No cephx on loopback. The gateway would still request encrypted connections, and hang for 300 s.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
run_dir = $dir
pid_file = $dir/\$name.pid
admin_socket =
log_file = $dir/\$name.log
crash_dir = $dir
# One copy of everything, in few placement groups.
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0

[mon]
mon_data = $dir/mon
mon_cluster_log_file = $dir/cluster.log
paxos_propose_interval = 0.05

[osd]
osd_data = $dir/osd
osd_memory_target = 939524096
bluestore_cache_autotune = false
bluestore_cache_size = 268435456
bluestore_block_size = $((20 << 30))
# Ceph takes the disk for a spinning one; and each opening of the file waits for this long.
bluestore_debug_enforce_settings = ssd
bdev_aio_poll_ms = 10
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 2
osd_class_update_on_start = false

[client.rgw.a]
rgw_data = $dir/rgw
# Without tcp_nodelay small responses are 40 ms late.
rgw_frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw_enable_apis = s3
rgw_dynamic_resharding = false
# "gc" frees the space of removed objects at once; otherwise Ceph does so after a minute.
rgw_gc_obj_min_wait = 60
rgw_gc_processor_period = 60
EOF
}

# One chain of commands: "set -e" has no effect in a condition.
start_daemons() {
  local fsid osd_uuid
  fsid=$(sed -n 's/^fsid = //p' "$conf")
  osd_uuid=$(cat /proc/sys/kernel/random/uuid)
  mkdir -p "$dir/mon" "$dir/osd" "$dir/rgw" &&
    monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$((port + 1))]" "$dir/monmap" &&
    ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" &&
    ceph-mon -c "$conf" -i a &&
    timeout 60 ceph -c "$conf" osd new "$osd_uuid" &&
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_uuid" &&
    ceph-osd -c "$conf" -i 0 &&
    timeout 120 radosgw-admin -c "$conf" user create --uid=fixity --display-name=fixity \
      --access-key="$access_key" --secret-key="$secret_key" &&
    timeout 60 radosgw -c "$conf" -n client.rgw.a
}

make_bucket() {
  curl --silent --show-error --fail --retry 100 --retry-delay 1 --retry-connrefused --retry-max-time 60 \
    --aws-sigv4 aws:amz:us-east-1:s3 --user "$access_key:$secret_key" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
    --request PUT "http://127.0.0.1:$port/$bucket"
}

stop_daemons() {
  local name pid
  for name in client.rgw.a osd.0 mon.a; do
    pid=$(cat "$dir/$name.pid" 2>/dev/null) || continue
    # The id may have been reused: the process must still be one of ours. Its data is discarded.
    grep -qzxF -- "$conf" "/proc/$pid/cmdline" 2>/dev/null || continue
    kill -KILL "$pid"
    while [ -d "/proc/$pid" ]; do sleep 0.05; done
  done
}

case $verb in
start)
  mkdir -p "$dir"
  [ ! -e "$conf" ] || fail "$dir was started already"
  trap 'stop_daemons; rm -rf -- "$dir"; exit 130' INT TERM
  install_packages
  write_conf
  if ! { start_daemons && make_bucket; } >"$dir/start.log" 2>&1; then
    stop_daemons
    fail "does not start: see $dir/start.log"
  fi
  cat <<EOF
export TEST_S3_ENDPOINT=http://127.0.0.1:$port
export TEST_S3_REGION=us-east-1
export TEST_S3_BUCKET=$bucket
export TEST_S3_ACCESS_KEY=$access_key
export TEST_S3_SECRET_KEY=$secret_key
EOF
  ;;
gc)
  radosgw-admin -c "$conf" gc process --include-all >/dev/null 2>>"$dir/gc.log"
  ;;
stop)
  [ -e "$conf" ] || fail "nothing was started in $dir"
  stop_daemons
  rm -rf -- "$dir"
  ;;
*) fail "usage: $0 start|gc|stop DIR" ;;
esac
