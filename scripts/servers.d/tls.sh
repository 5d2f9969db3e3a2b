# shellcheck shell=bash
# A certificate authority and a server certificate for one server directory. Sourced by scripts/servers.

tls_create() {
  [[ -f $dir/tls/server.pem ]] && return
  require openssl
  local place
  place=$(mktemp -d "$dir/tls.XXXXXX")
  (
    umask 077
    cd "$place"
    # Ten years, so that tests do not fail in an old directory.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=private test authority" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out server.pem -extfile /dev/stdin <<EXT
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1
EXT
  ) >"$dir/tls.log" 2>&1 || { tail -n 5 "$dir/tls.log" >&2; die "could not make the certificates"; }
  # No more signing, so the authority's key is deleted.
  rm -f "$place"/{ca.key,server.csr,ca.srl}
  chmod 755 "$place"
  chmod 644 "$place"/{ca.pem,server.pem}
  mv "$place" "$dir/tls"
}
