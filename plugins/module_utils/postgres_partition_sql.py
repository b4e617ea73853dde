# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQL that keeps partitions: a table of rules and four functions in schema holdfast, for PostgreSQL 15 and later.

The plan is a function of its own, so that a run can show what the timer would do. Whatever is made or removed belongs
to the table's owner and is done with the owner's rights, never with the superuser's.
"""

from __future__ import annotations

import textwrap

TABLE = "holdfast.partition_rule"
CREATE_TABLE = (
    f"CREATE TABLE {TABLE} (schema_name text NOT NULL, table_name text NOT NULL, column_name text NOT NULL,"
    " every text NOT NULL CHECK (every IN ('day', 'week', 'month')), premake integer NOT NULL CHECK (premake > 0),"
    " retention_days integer CHECK (retention_days > 0), expired text NOT NULL CHECK (expired IN ('detach', 'drop')),"
    " PRIMARY KEY (schema_name, table_name))"
)

# Bounds are compared as moments in UTC, whatever the type of the column: that is how they are written, too.
FIXED = "SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'"

BOUNDS = """
SELECT format('%I.%I', n.nspname, c.relname),
       CASE m[1] WHEN 'MINVALUE' THEN '-infinity'::timestamptz ELSE trim(both '''' from m[1])::timestamptz END,
       CASE m[2] WHEN 'MAXVALUE' THEN 'infinity'::timestamptz ELSE trim(both '''' from m[2])::timestamptz END
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\((.+)\\) TO \\((.+)\\)') m
 WHERE i.inhparent = parent AND m IS NOT NULL
"""

PLAN = """
DECLARE
  rule holdfast.partition_rule%ROWTYPE;
  parent oid;
  kind "char";
  step interval;
  begins timestamptz;
BEGIN
  FOR rule IN SELECT * FROM holdfast.partition_rule ORDER BY schema_name, table_name LOOP
    parent_table := format('%I.%I', rule.schema_name, rule.table_name);
    partition := NULL; lower_bound := NULL; upper_bound := NULL; reason := NULL;
    SELECT c.oid, c.relkind INTO parent, kind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = rule.schema_name AND c.relname = rule.table_name;
    IF parent IS NULL THEN
      action := 'wait'; reason := 'the table does not exist yet';
      RETURN NEXT;
      CONTINUE;
    END IF;
    IF kind <> 'p' OR pg_get_partkeydef(parent) <> format('RANGE (%I)', rule.column_name) THEN
      action := 'refuse';
      reason := format('expected PARTITION BY RANGE (%I), found %s', rule.column_name,
                       coalesce('PARTITION BY ' || pg_get_partkeydef(parent), 'a table without partitions'));
      RETURN NEXT;
      CONTINUE;
    END IF;
    step := ('1 ' || rule.every)::interval;
    begins := date_trunc(rule.every, moment);
    FOR number IN 0 .. rule.premake LOOP
      lower_bound := begins + number * step;
      upper_bound := begins + (number + 1) * step;
      CONTINUE WHEN EXISTS (SELECT FROM holdfast.partition_bounds(parent) b
                             WHERE b.low <= lower_bound AND b.high >= upper_bound);
      partition := format('%I.%I', rule.schema_name, rule.table_name || '_p' || to_char(lower_bound, 'YYYYMMDD'));
      action := 'create'; reason := 'made ahead';
      IF EXISTS (SELECT FROM holdfast.partition_bounds(parent) b
                  WHERE b.low < upper_bound AND b.high > lower_bound) THEN
        action := 'refuse'; reason := 'a partition of another interval covers a part of this one';
      ELSIF to_regclass(partition) IS NOT NULL THEN
        action := 'refuse'; reason := 'something else has this name';
      END IF;
      RETURN NEXT;
    END LOOP;
    CONTINUE WHEN rule.retention_days IS NULL;
    FOR partition, lower_bound, upper_bound IN
      SELECT b.child, b.low, b.high FROM holdfast.partition_bounds(parent) b
       WHERE b.high <= moment - make_interval(days => rule.retention_days) ORDER BY b.high LOOP
      action := rule.expired; reason := format('ended more than %s days ago', rule.retention_days);
      RETURN NEXT;
    END LOOP;
  END LOOP;
END
"""

MAINTAIN = """
DECLARE
  task record;
  owner name;
BEGIN
  -- A standby has nothing to do, and neither has a second run beside the first.
  IF pg_is_in_recovery() OR NOT pg_try_advisory_xact_lock(hashtext('holdfast.maintain_partitions')) THEN
    RETURN;
  END IF;
  FOR task IN SELECT * FROM holdfast.partition_plan(moment) p WHERE p.action IN ('create', 'detach', 'drop') LOOP
    SELECT pg_get_userbyid(c.relowner) INTO owner FROM pg_class c WHERE c.oid = task.parent_table::regclass;
    BEGIN
      PERFORM set_config('role', owner, true);
      CASE task.action
        WHEN 'create' THEN
          EXECUTE format('CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%L) TO (%L)',
                         task.partition, task.parent_table, task.lower_bound, task.upper_bound);
        WHEN 'detach' THEN
          EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', task.parent_table, task.partition);
        WHEN 'drop' THEN
          EXECUTE format('DROP TABLE %s', task.partition);
      END CASE;
      done := task.action || ' ' || task.partition;
    EXCEPTION WHEN OTHERS THEN
      -- One table that is locked, or full of rows elsewhere, must not keep the others from their partitions.
      done := format('failed: %s %s: %s', task.action, task.partition, SQLERRM);
    END;
    PERFORM set_config('role', 'none', true);
    RETURN NEXT;
  END LOOP;
END
"""

CHECK = """
DECLARE
  left_over text;
BEGIN
  IF pg_is_in_recovery() THEN
    RETURN;
  END IF;
  SELECT string_agg(format('%s %s: %s', p.action, coalesce(p.partition, p.parent_table), p.reason), '; ')
    INTO left_over FROM holdfast.partition_plan(moment) p WHERE p.action <> 'wait';
  IF left_over IS NOT NULL THEN
    RAISE EXCEPTION 'partitions: expected nothing left to do, found: %', left_over;
  END IF;
END
"""

#: Name -> (signature, what it returns, attributes, body).
FUNCTIONS = {
    "partition_bounds": (
        "parent oid",
        "TABLE (child text, low timestamptz, high timestamptz)",
        f"LANGUAGE sql STABLE {FIXED}",
        BOUNDS,
    ),
    "partition_plan": (
        "moment timestamptz DEFAULT now()",
        "TABLE (parent_table text, action text, partition text, lower_bound timestamptz, upper_bound timestamptz,"
        " reason text)",
        f"LANGUAGE plpgsql STABLE {FIXED}",
        PLAN,
    ),
    "maintain_partitions": (
        "moment timestamptz DEFAULT now()",
        "TABLE (done text)",
        f"LANGUAGE plpgsql {FIXED} SET lock_timeout = '5s'",
        MAINTAIN,
    ),
    "check_partitions": ("moment timestamptz DEFAULT now()", "void", f"LANGUAGE plpgsql STABLE {FIXED}", CHECK),
}


def body(name: str) -> str:
    """Return the body of a function as PostgreSQL keeps it."""
    return textwrap.dedent(FUNCTIONS[name][3])


def create_function(name: str) -> str:
    """Return the statement that makes a function, or replaces its body."""
    signature, returns, attributes, _body = FUNCTIONS[name]
    head = f"CREATE OR REPLACE FUNCTION holdfast.{name}({signature}) RETURNS {returns} {attributes}"
    return f"{head} AS $holdfast${body(name)}$holdfast$"
