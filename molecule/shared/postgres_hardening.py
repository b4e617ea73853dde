"""What two baselines ask of a PostgreSQL host, measured on a live member; compared with docs/hardening/postgres.md.

`dev-sec-NN` are controls of dev-sec's postgres-baseline, `cis-N.N` checks of pgdsat, which follow the CIS benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import harness

PAGE = harness.ROOT / "docs" / "hardening" / "postgres.md"
ROW = re.compile(r"^\| `((?:dev-sec|cis)-[0-9.]+)` \| [^|]+ \| (passes|exception|manual) \| ([^|]+) \|$", re.MULTILINE)
SQL = "cd / && sudo -u postgres psql -XAtd {database} -c {statement}"
HBA = "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'reject' AND "
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"


@dataclass(frozen=True)
class Check:
    """One question to a member and what the baseline wants to hear, as a regular expression."""

    id: str
    ask: str
    want: str
    sql: bool = True
    every_database: bool = False


def shows(name: str, setting: str, want: str) -> Check:
    """Return a check of one setting."""
    return Check(name, f"SELECT current_setting('{setting}', true)", want)


def on_host(name: str, command: str, want: str) -> Check:
    """Return a check that a command of the host answers; `$data` is the data directory."""
    return Check(name, command, want, sql=False)


CHECKS = (
    on_host("dev-sec-02", "psql -V", r"psql \(PostgreSQL\) 1[3-8]\.\d+ .*"),
    on_host("dev-sec-03", "pgrep -cf '^/usr/lib/postgresql/[^ ]+/bin/postgres -D'", "1"),
    Check(
        "dev-sec-04",
        "SELECT count(*) FROM pg_language WHERE NOT lanpltrusted AND lanname NOT IN ('internal', 'c')",
        "0",
    ),
    Check(
        "dev-sec-05", "SELECT count(*) FROM pg_language WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')", "0"
    ),
    Check("dev-sec-06", "SELECT count(*) FROM pg_shadow WHERE passwd IS NULL", "0"),
    Check("dev-sec-07", "SELECT count(*) FROM pg_shadow WHERE passwd !~ '^SCRAM-SHA-256'", "0"),
    Check("dev-sec-08", "SELECT count(*) FROM pg_roles WHERE rolsuper OR rolcreaterole OR rolcreatedb", "1"),
    Check(
        "dev-sec-09",
        "SELECT DISTINCT grantee FROM information_schema.role_table_grants WHERE table_name = 'pg_authid'",
        "postgres",
    ),
    on_host(
        "dev-sec-10",
        "stat -c '%U %a' $data $data/postgresql.conf $data/pg_hba.conf",
        "postgres 700\npostgres 640\npostgres 600",
    ),
    shows("dev-sec-11", "ssl", "on"),
    shows("dev-sec-12", "ssl_ciphers", re.escape("ALL:!ADH:!LOW:!EXP:!MD5:@STRENGTH")),
    Check("dev-sec-13", "SELECT count(*) FROM pg_hba_file_rules WHERE type = 'local' AND auth_method <> 'peer'", "0"),
    Check(
        "dev-sec-14",
        "SELECT count(*) FROM pg_hba_file_rules WHERE type = 'hostssl' AND auth_method <> 'scram-sha-256'",
        "0",
    ),
    Check("dev-sec-15", "SELECT count(*) FROM pg_hba_file_rules WHERE type IN ('host', 'hostnossl')", "0"),
    Check(
        "dev-sec-16",
        "SELECT string_agg(setting, ',' ORDER BY name) FROM pg_settings WHERE name IN"
        " ('logging_collector', 'log_connections', 'log_disconnections', 'log_duration', 'log_hostname')",
        "on,on,on,on,on",
    ),
    Check(
        "dev-sec-17",
        "SELECT count(*) FROM information_schema.table_privileges WHERE grantee = 'PUBLIC'"
        " AND table_schema NOT IN ('pg_catalog', 'information_schema')",
        "0",
    ),
    Check(
        "dev-sec-18",
        "SELECT count(*) FROM information_schema.table_privileges WHERE grantee <> 'postgres' AND is_grantable = 'YES'",
        "0",
    ),
    Check("dev-sec-19", "SELECT count(*) FROM pg_proc JOIN pg_user ON proowner = usesysid WHERE prosecdef", "0"),
    on_host("dev-sec-20", "stat -c '%U %a' $data /var/log/postgresql", "postgres 700\npostgres 700"),
    on_host("cis-1.1.1", "dpkg-query -Wf '${Version}' 'postgresql-1[0-9]'", r".*pgdg.*"),
    on_host("cis-1.3", "systemctl is-enabled patroni.service postgresql.service", "enabled\ndisabled"),
    on_host("cis-1.4.1", "find $data/base -name PG_VERSION | head -1 | wc -l", "1"),
    on_host("cis-1.4.2", "cat $data/PG_VERSION; ls /usr/lib/postgresql", r"(\d+)\n\1"),
    shows("cis-1.4.3", "data_checksums", "on"),
    on_host("cis-1.4.4", "test -L $data/pg_wal && echo elsewhere", "elsewhere"),
    on_host(
        "cis-1.5",
        "for p in $(dpkg-query -Wf '${Package}\\n' 'postgresql-1[0-9]'); do apt-cache policy $p; done"
        " | awk '/Installed|Candidate/ {print $2}' | sort -u | wc -l",
        "1",
    ),
    on_host(
        "cis-1.6",
        "grep -rls PGPASSWORD /etc/environment /etc/profile* /root/.*rc /root/.profile /home/*/.*rc | wc -l",
        "0",
    ),
    on_host("cis-1.7", "grep -ls PGPASSWORD= /proc/[0-9]*/environ | wc -l", "0"),
    on_host("cis-1.9", "find $data/pg_tblspc -type l | wc -l", "0"),
    on_host("cis-2.1", "awk '/^Umask/ {print $2}' /proc/$(head -1 $data/postmaster.pid)/status", "0077"),
    on_host("cis-2.2", "stat -c '%U %G %a' /usr/share/postgresql/1*/extension", "root root 755"),
    on_host("cis-2.3", "find /home /root /var/lib/postgresql -name .psql_history -type f | wc -l", "0"),
    on_host("cis-2.4", "find / -xdev -name .pg_service.conf -exec grep -l password {} + | wc -l", "0"),
    on_host("cis-2.5", "stat -c %a $data/pg_hba.conf", "6[04]0"),
    on_host("cis-2.6", "stat -c %a /var/run/postgresql/.s.PGSQL.5432", "7[07]0"),
    on_host("cis-2.7", "stat -c '%U %a' $data", "postgres 700"),
    shows("cis-3.1.2", "log_destination", ".+"),
    shows("cis-3.1.3", "logging_collector", "on"),
    shows("cis-3.1.6", "log_file_mode", "0600"),
    shows("cis-3.1.11", "syslog_sequence_numbers", "on"),
    shows("cis-3.1.12", "syslog_split_messages", "on"),
    shows("cis-3.1.14", "log_min_messages", "warning"),
    shows("cis-3.1.15", "log_min_error_statement", "error"),
    shows("cis-3.1.16", "debug_print_parse", "off"),
    shows("cis-3.1.17", "debug_print_rewritten", "off"),
    shows("cis-3.1.18", "debug_print_plan", "off"),
    shows("cis-3.1.19", "debug_pretty_print", "on"),
    shows("cis-3.1.20", "log_connections", "on"),
    shows("cis-3.1.21", "log_disconnections", "on"),
    shows("cis-3.1.22", "log_error_verbosity", "verbose"),
    shows("cis-3.1.23", "log_hostname", "off"),
    shows("cis-3.1.24", "log_line_prefix", r"(?=.*%[tmn])(?=.*%[pc])(?=.*%d)(?=.*%u)(?=.*%a)(?=.*%h).*"),
    shows("cis-3.1.25", "log_statement", "ddl|mod|all"),
    shows("cis-3.1.26", "log_timezone", "UTC|GMT"),
    Check(
        "cis-3.2",
        "SELECT current_setting('shared_preload_libraries') || ' ' || current_setting('pgaudit.log')",
        r"(?=.*pgaudit)(?=.*ddl)(?=.*write).*",
    ),
    on_host("cis-4.1", "getent shadow postgres | cut -d: -f2", r"[!*]+"),
    Check("cis-4.3", "SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolsuper", "postgres"),
    shows("cis-4.8", "shared_preload_libraries", ".*set_user.*"),
    Check(
        "cis-4.10",
        "SELECT count(*) FROM pg_namespace, aclexplode(nspacl) a WHERE nspname = 'public' AND a.grantee = 0",
        "0",
        every_database=True,
    ),
    on_host("cis-5.1", "ps -eo args= | grep -cE '[p]ostgres(ql)?://[^: ]+:[^@ ]+@|[P]GPASSWORD='", "0"),
    shows("cis-5.2", "listen_addresses", r"(?!.*(\*|0\.0\.0\.0|::)).+"),
    Check("cis-5.3", HBA + "type = 'local' AND auth_method IN ('trust', 'password', 'md5', 'ident')", "0"),
    Check("cis-5.4", HBA + "type <> 'local' AND auth_method IN ('trust', 'password', 'md5', 'ident')", "0"),
    Check("cis-5.5", "SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_' AND rolconnlimit = -1", "0"),
    shows("cis-5.6", "shared_preload_libraries", ".*(credcheck|passwordcheck).*"),
    Check(
        "cis-5.7",
        "SELECT current_setting('authentication_timeout')::interval <= '60s'"
        " AND current_setting('auth_delay.milliseconds', true) IS NOT NULL",
        "t",
    ),
    Check("cis-5.8", HBA + "type IN ('host', 'hostnossl', 'hostnogssenc')", "0"),
    Check(
        "cis-5.9",
        HBA + "type <> 'local' AND coalesce(netmask, '') NOT IN"
        " ('255.255.255.255', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')",
        "0",
    ),
    Check("cis-5.10", HBA + "type <> 'local' AND ('all' = ANY (database) OR 'all' = ANY (user_name))", "0"),
    Check("cis-5.11", HBA + "type <> 'local' AND 'postgres' = ANY (user_name)", "0"),
    shows("cis-5.12", "password_encryption", "scram-sha-256"),
    Check(
        "cis-6.2",
        "SELECT string_agg(setting, ',' ORDER BY name) FROM pg_settings WHERE name IN"
        " ('ignore_system_indexes', 'jit_debugging_support', 'jit_profiling_support', 'log_connections',"
        " 'log_disconnections', 'post_auth_delay')",
        "off,off,off,on,on,0",
    ),
    on_host("cis-6.7", "cat /proc/sys/crypto/fips_enabled", "1"),
    Check(
        "cis-6.8",
        "SELECT current_setting('ssl') || ' ' || current_setting('ssl_min_protocol_version') || ' '"
        " || current_setting('ssl_passphrase_command')",
        r"on TLSv1\.3 .+",
    ),
    Check("cis-6.9", "SELECT count(*) FROM pg_available_extensions WHERE name IN ('pgcrypto', 'pgsodium')", "[12]"),
    shows("cis-6.10", "ssl_ciphers", r"((TLS_|(ECDHE|DHE)-)[A-Z0-9_-]*(GCM|CCM|CHACHA20|POLY1305)[A-Z0-9_-]*:?)+"),
    shows("cis-6.11", "session_preload_libraries", ".*anon.*"),
    Check("cis-7.1", "SELECT count(*) > 1 FROM pg_roles WHERE rolreplication", "t"),
    shows("cis-7.2", "log_replication_commands", "on"),
    Check(
        "cis-7.4",
        "SELECT current_setting('archive_mode') || ' ' || current_setting('archive_command')",
        r"(on|always) (?!/bin/true).+",
    ),
    shows("cis-7.5", "primary_conninfo", r".*sslmode=(require|verify-ca).*sslcompression=1.*"),
    on_host("cis-8.2", "pgbackrest info", "stanza.*"),
)


def documented() -> dict[str, tuple[str, str]]:
    """Return the verdict and the reason of every row of the page."""
    return {found[1]: (found[2], found[3].strip()) for found in ROW.finditer(PAGE.read_text())}


def measure(host: Any, check: Check) -> tuple[bool, str]:
    """Return whether a member is as the baseline wants it, and what it said; a question that fails is no pass."""
    data = host.check_output("echo /var/lib/postgresql/*/orders-db")
    if not check.sql:
        done = host.run(check.ask.replace("$data", data))
        said = done.stdout.strip()
        return re.fullmatch(check.want, said, re.DOTALL) is not None, said or done.stderr.strip()
    databases = ["postgres"]
    if check.every_database:
        databases = host.check_output(SQL.format(database="postgres", statement=f'"{DATABASES}"')).split()
    answers = []
    for database in databases:
        done = host.run(f"cd / && sudo -u postgres psql -XAtd {database} -c %s", check.ask)
        answers.append((done.stdout.strip() if done.rc == 0 else done.stderr.strip(), done.rc))
    good = all(rc == 0 and re.fullmatch(check.want, said, re.DOTALL) for said, rc in answers)
    return good, "; ".join(said for said, _rc in answers)


def differences(measured: Mapping[str, tuple[bool, str]]) -> list[str]:
    """Return where the page and the member say different things: in verdicts, and in what is there at all."""
    page, found = documented(), []
    for name in sorted(set(page) | set(measured)):
        if name not in page:
            found.append(f"{name}: measured, and the page has no row for it")
        elif page[name][0] == "manual":
            found += [f"{name}: the page says manual, and it is measured"] if name in measured else []
        elif name not in measured:
            found.append(f"{name}: the page says {page[name][0]}, and nothing measures it")
        elif measured[name][0] != (page[name][0] == "passes"):
            found.append(f"{name}: the page says {page[name][0]}, the member says {measured[name][1]!r}")
    return found
