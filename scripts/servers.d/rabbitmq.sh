# shellcheck shell=bash
# One private RabbitMQ node with its own Erlang port mapper, on the loopback interface. Sourced by scripts/servers.

rabbit_scripts=/usr/lib/rabbitmq/bin

rabbit_settings() { # shellcheck source=/dev/null
  source "$dir/rabbitmq/settings"
}

# The complete environment of the node and its tools. Nothing of the machine's own node (/etc/rabbitmq, port 4369) is used.
rabbit_environment() {
  local home=$dir/rabbitmq
  unset "${!RABBITMQ_@}" NOTIFY_SOCKET ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS ERL_LIBS
  export HOME=$home/home
  export ERL_EPMD_PORT=$epmd_port ERL_EPMD_ADDRESS=127.0.0.1
  export RABBITMQ_NODENAME=$node RABBITMQ_DIST_PORT=$dist_port
  export RABBITMQ_CONF_ENV_FILE=$home/rabbitmq-env.conf RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf
  export RABBITMQ_ADVANCED_CONFIG_FILE=$home/advanced.config RABBITMQ_ENABLED_PLUGINS_FILE=$home/enabled_plugins
  export RABBITMQ_MNESIA_BASE=$home/mnesia RABBITMQ_LOG_BASE=$home/log RABBITMQ_GENERATED_CONFIG_DIR=$home/generated
  export RABBITMQ_PID_FILE=$home/node-written.pid
  export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
  # The tools need no listener: they only make outgoing connections.
  export RABBITMQ_CTL_ERL_ARGS="-dist_listen false"
  # Makes the start script replace itself with the Erlang VM, so that the recorded pid is the node's. -noinput disables the
  # interactive shell that this implies.
  export RABBITMQ_ALLOW_INPUT=1 RABBITMQ_SERVER_START_ARGS="-noinput +B i"
}

rabbit_create() {
  local home=$dir/rabbitmq
  require erl_call epmd
  [[ -x $rabbit_scripts/rabbitmq-server ]] || die "rabbitmq-server is not installed; run scripts/install"
  # Without the identity file the directory is the rest of an interrupted creation.
  rm -rf "$home"
  mkdir -p "$home"/{home,log,mnesia,generated}
  : >"$home/rabbitmq-env.conf"
  printf '[].\n' >"$home/enabled_plugins"
  printf '[].\n' >"$home/advanced.config"
  if [[ -n $join ]]; then
    # A cluster shares the cookie, the port mapper and the login.
    cp "$join/rabbitmq/home/.erlang.cookie" "$home/home/.erlang.cookie"
    (umask 077 && { grep '^rabbit_' "$join/rabbitmq/identity"; printf 'node=journey-%s@localhost\ncluster=%q\n' "$(random_token)" "$join/rabbitmq"; } \
      >"$home/identity")
  else
    printf '%s' "$(random_token)" >"$home/home/.erlang.cookie"
    (umask 077 && printf 'rabbit_user=journey\nrabbit_password=%s\nnode=journey-%s@localhost\n' "$(random_token)" "$(random_token)" \
      >"$home/identity")
  fi
  chmod 400 "$home/home/.erlang.cookie"
}

# Picks new ports. They are kept after the node has started on them, so that its URL survives a restart.
rabbit_choose_ports() {
  local home=$dir/rabbitmq
  (
    umask 077
    cat "$home/identity" >"$home/settings"
    printf '%s=%s\n' amqp_port "$(free_port)" amqps_port "$(free_port)" dist_port "$(free_port)" epmd_port "$(free_port)" \
      >>"$home/settings"
    rabbit_settings
    if [[ -n ${cluster:-} ]]; then grep '^epmd_port=' "$cluster/settings" >>"$home/settings"; rabbit_settings; fi
    {
      printf 'listeners.tcp.1 = 127.0.0.1:%s\n' "$amqp_port"
      printf 'default_user = %s\ndefault_pass = %s\n' "$rabbit_user" "$rabbit_password"
      printf 'log.console = false\nlog.file.level = info\n'
      # A nearly full disk must not block publishers, because builds use the same disk.
      printf 'disk_free_limit.absolute = 50MB\n'
      if [[ -f $dir/tls/server.pem ]]; then
        printf 'listeners.ssl.1 = 127.0.0.1:%s\n' "$amqps_port"
        printf 'ssl_options.cacertfile = %s\n' "$dir/tls/ca.pem"
        printf 'ssl_options.certfile = %s\n' "$dir/tls/server.pem"
        printf 'ssl_options.keyfile = %s\n' "$dir/tls/server.key"
        printf 'ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n'
        printf 'ssl_options.versions.1 = tlsv1.3\nssl_options.versions.2 = tlsv1.2\n'
      fi
    } >"$home/rabbitmq.conf"
  )
}

epmd_answers() { epmd -port "$epmd_port" -names >/dev/null 2>&1; }

# rabbit_eval EXPRESSION [SECONDS]: evaluates the expression in the running node and prints the value in Erlang's syntax.
rabbit_eval() {
  local answer
  rabbit_settings
  # erl_call prints binaries without their bytes, so the node formats the value; the answer is {ok, "…"}, quoted. Each call has a
  # unique name, because the node rejects a second connection with the same name. It has a deadline, because the listener may be
  # frozen or not an Erlang node.
  answer=$(rabbit_environment && timeout "${2:-60}" erl_call -address "127.0.0.1:$dist_port" -h "call$BASHPID" -e \
    <<<"lists:flatten(io_lib:format(\"~0tp\", [begin $1 end])).") || return 1
  [[ $answer == '{ok, "'* ]] || { say "$answer"; return 1; }
  answer=${answer#'{ok, "'}
  printf '%b\n' "${answer%'"}'}"
}

# Asks the node over Erlang distribution, within milliseconds; rabbitmqctl needs a second for the same. The cookie ensures that our
# node answers, and not another one that has taken the port.
rabbit_is_running() { [[ $(rabbit_eval 'rabbit:is_running()' 3 2>/dev/null) == true ]]; }

rabbit_started_or_ended() { has_ended "$dir/rabbitmq/pid" || rabbit_is_running; }

# One attempt. 0: runs; 1: failed; 2: another process has taken a port.
rabbit_attempt() {
  local home=$dir/rabbitmq
  rabbit_settings
  : >"$home/output.log"
  if [[ -z ${cluster:-} ]] && ! live_pid "$home/epmd.pid" >/dev/null; then
    (rabbit_environment && launch "$home/epmd.pid" "$home/output.log" epmd -address 127.0.0.1 -port "$epmd_port")
    until_within 10 epmd_answers || return 2
    # An answer although our node has ended: it came from another node's port mapper.
    live_pid "$home/epmd.pid" >/dev/null || return 2
  fi
  (rabbit_environment && launch "$home/pid" "$home/output.log" "$rabbit_scripts/rabbitmq-server")
  if until_within 90 rabbit_started_or_ended && ! has_ended "$home/pid"; then return 0; fi
  end_process "$home/pid" TERM 20
  grep -qiE 'eaddrinuse|in use' "$home/output.log" "$home"/log/*.log 2>/dev/null && return 2
  return 1
}

rabbit_start() {
  local home=$dir/rabbitmq began=$EPOCHSECONDS fresh=no attempt result
  if live_pid "$home/pid" >/dev/null; then
    rabbit_settings
    detail "RabbitMQ already runs on 127.0.0.1:$amqp_port"
    return
  fi
  [[ -f $home/identity ]] || rabbit_create
  [[ -f $home/established ]] || fresh=yes
  for attempt in 1 2 3 4 5 6 7 8; do
    [[ $fresh == no ]] || rabbit_choose_ports
    result=0
    rabbit_attempt || result=$?
    ((result == 2)) || break
    # A restarted node keeps its ports, and waits if another process uses one of them.
    [[ $fresh == yes ]] || sleep "$attempt"
    end_process "$home/epmd.pid" TERM 5
    rm -f "$home"/log/*.log
  done
  if ((result != 0)); then
    end_process "$home/epmd.pid" TERM 5
    tail -n 15 "$home/output.log" >&2
    die "RabbitMQ did not start; its log is in $home/log"
  fi
  rabbit_settings
  if [[ $fresh == yes && -n ${cluster:-} ]]; then rabbit_join; fi
  : >"$home/established"
  detail "RabbitMQ runs on 127.0.0.1:$amqp_port (pid $(live_pid "$home/pid"), $(seconds_since "$began") s)"
}

# The effect of `rabbitmqctl stop_app`, `join_cluster` and `start_app`, without their start-up time of seconds.
rabbit_join() {
  local other
  # shellcheck source=/dev/null
  other=$(source "$cluster/settings" && printf '%s' "$node")
  [[ $(rabbit_eval "begin rabbit:stop(), ok = rabbit_mnesia:join_cluster('$other', disc), ok = rabbit:start(), joined end") == joined ]] ||
    die "the node did not join $other; its log is in $dir/rabbitmq/log"
}

rabbit_stop() {
  local home=$dir/rabbitmq
  # SIGTERM shuts the node down cleanly.
  end_process "$home/pid" TERM 30
  end_process "$home/epmd.pid" TERM 5
}

rabbit_kill() {
  # A dead node disappears from its port mapper, because the connection between them closes.
  end_process "$dir/rabbitmq/pid" KILL 10
}

rabbit_url() {
  rabbit_settings
  printf 'amqp://%s:%s@127.0.0.1:%s' "$rabbit_user" "$rabbit_password" "$amqp_port"
}

rabbit_tls_url() {
  rabbit_settings
  # By name: rabbitmq-c verifies certificates against names only, not addresses.
  printf 'amqps://%s:%s@localhost:%s' "$rabbit_user" "$rabbit_password" "$amqps_port"
}
