"""The function that creates weekly partitions, for whichever time series a step has.

The text is that of the first step; a step that adds a series renders it again with one more.
"""

from collections.abc import Mapping

from alembic import op

from storage.migrations.statements import has_timescale

ENSURE_PARTITIONS = """
create or replace function public.ensure_partitions(series text, first_at timestamptz, last_at timestamptz)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO, YMD'
set lock_timeout = '5s'
as $$
declare
    origin constant timestamptz := '2000-01-03 00:00:00+00';
    width constant interval := interval '7 days';
    time_column text;
    week timestamptz;
    part text;
    strays boolean;
    created integer := 0;
begin
    time_column := case series {cases} end;
    if time_column is null then
        raise exception 'ensure_partitions: % is no time series; expected {names}', coalesce(series, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if first_at is null or last_at is null or not isfinite(first_at) or not isfinite(last_at)
       or first_at > last_at or first_at < '2019-12-30 00:00:00+00' or last_at >= '2100-01-04 00:00:00+00' then
        raise exception 'ensure_partitions: from % to %; expected an ascending range between 2019-12-30 and 2100-01-04', first_at, last_at
            using errcode = 'invalid_parameter_value';
    end if;
    if date_bin(width, last_at, origin) - date_bin(width, first_at, origin) >= 64 * width then
        raise exception 'ensure_partitions: from % to %; expected at most 64 weeks', first_at, last_at
            using errcode = 'invalid_parameter_value';
    end if;
    week := date_bin(width, first_at, origin);
    while week <= last_at loop
        part := series || '_' || to_char(week, 'YYYYMMDD');
        if to_regclass(format('public.%I', part)) is null then
            -- One creator at a time; whoever waited looks again. Inserting does not conflict with
            -- this lock. (An advisory lock would not do: waiting for it refreshes no catalog cache.)
            execute format('lock table only public.%I in share update exclusive mode', series);
            if to_regclass(format('public.%I', part)) is null then
                execute format('select exists (select from public.%I where %I >= $1 and %I < $2)',
                               series || '_default', time_column, time_column)
                    into strays using week, week + width;
                if strays then
                    -- Refusing would stop every later row of the week; in the default partition
                    -- they are stored and found all the same.
                    raise warning 'ensure_partitions: the default partition of % holds rows of the week of %; it keeps them and that week gets no partition', series, week;
                else
                    -- ATTACH leaves readers and writers of other partitions alone;
                    -- CREATE … PARTITION OF would lock the whole series.
                    execute format('create table public.%I (like public.%I including all)', part, series);
                    execute format('revoke all on public.%I from public', part);
                    execute format('create trigger append_only_truncate before truncate on public.%I '
                                   'for each statement execute function public.refuse_change()', part);
                    execute format('alter table public.%I attach partition public.%I for values from (%L) to (%L)',
                                   series, part, week, week + width);
                    created := created + 1;
                end if;
            end if;
        end if;
        week := week + width;
    end loop;
    return created;
end
$$
"""


def partition(series: Mapping[str, str]) -> None:
    """Let ``ensure_partitions`` create the weeks of these series: table → time column.

    TimescaleDB makes chunks by itself, and its function does nothing.
    """
    if has_timescale():
        return
    cases = " ".join(f"when '{table}' then '{column}'" for table, column in series.items())
    *others, last = series
    names = f"{', '.join(others)} or {last}"
    op.execute(ENSURE_PARTITIONS.replace("{cases}", cases).replace("{names}", names))
