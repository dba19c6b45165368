"""What ``oncoresist models list`` and ``show`` tell of registered versions, as rows of text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import mlflow

from features.errors import ConfigError, ModelError, examples
from pipelines.registry.alias_history import AliasHistory, history_of
from pipelines.registry.gate_figures import interval_of
from pipelines.registry.standing import GateRecord, read_record
from pipelines.registry.version_record import VersionRecord, read_version, store_errors, versions_of
from pipelines.runs.tags import SUFFICIENCY_TAG
from pipelines.scoring.data_verdict import NO_VERDICT
from pipelines.validation.validate import ARM_SUFFIX, ARMS

__all__ = [
    "LIST_COLUMNS",
    "VersionPage",
    "aliases_of",
    "figure_rows",
    "find_version",
    "list_rows",
    "registered_names",
    "version_page",
]

LIST_COLUMNS = (
    *("model", "version", "alias", "trained (UTC)", "cohorts"),
    *("AUROC, cohort-relative", "AUROC, reference-relative", "data", "gate"),
)
_FIGURES: Mapping[str, str] = {
    "auroc": "AUROC (mean over held-out cohorts)",
    "auprc": "AUPRC (mean over held-out cohorts)",
    "brier": "Brier score",
    "ece": "Expected calibration error",
    "calibration_slope": "Calibration slope",
    "coverage.resistant": "Coverage of the sets, resistant",
    "coverage.responsive": "Coverage of the sets, responsive",
    "two_label_share": "Share of sets with both labels",
    "difference.gep_18": "AUROC minus that of gep_18",
    "difference_pairs.gep_18": "The same over pairs within cohorts",
    "null_auroc": "AUROC on shuffled labels",
}
_NONE = "–"


@dataclass(frozen=True)
class VersionPage:
    """One version, as ``show`` tells it.

    Attributes
    ----------
    facts
        Name → text.
    figures
        Rows: figure, cohort-relative, reference-relative.
    gate
        What the gate recorded; None where it never looked.
    history
        Rows of each alias it has: alias, time, move, by whom, reason.
    """

    facts: Mapping[str, str]
    figures: list[list[str]]
    gate: GateRecord | None
    history: list[list[str]]


def registered_names() -> list[str]:
    """Return the registered models of the store."""
    client, names, token = mlflow.MlflowClient(), [], None
    with store_errors():
        while True:
            page = client.search_registered_models(page_token=token)
            names += [str(model.name) for model in page]
            token = page.token
            if not token:
                return sorted(names)


def list_rows() -> list[list[str]]:
    """Return a row a version of every OncoResist model of the store, the newest of each first.

    Raises
    ------
    ConfigError
        There is none.
    """
    rows = []
    with store_errors():
        for name in registered_names():
            aliases = aliases_of(name)
            for version in versions_of(name):
                record = read_version(name, version)
                if _is_ours(record):
                    rows.append(_list_row(record, aliases))
    if not rows:
        raise ConfigError(
            f"the store {mlflow.get_tracking_uri()} holds no OncoResist model; train one with "
            "`oncoresist train conf/experiments/ici.yaml`, or set tracking.uri or "
            "MLFLOW_TRACKING_URI"
        )
    return rows


def _is_ours(record: VersionRecord) -> bool:
    """Return whether a version came from a run of OncoResist; another's models are not listed."""
    return "oncoresist_version" in record.run_tags or read_record(record.tags) is not None


def _list_row(record: VersionRecord, aliases: Mapping[str, str]) -> list[str]:
    metrics, scheme = record.metrics, record.scheme
    return [
        record.name,
        record.version,
        ", ".join(_aliases(record, aliases)) or _NONE,
        f"{record.created:%Y-%m-%d %H:%M}",
        _cohorts(record),
        *(_or_none(interval_of(metrics, f"{scheme}{ARM_SUFFIX[arm]}.auroc")) for arm in ARMS),
        record.tags.get(SUFFICIENCY_TAG, _NONE),
        _verdict(read_record(record.tags)),
    ]


def _aliases(record: VersionRecord, aliases: Mapping[str, str]) -> list[str]:
    return [alias for alias, version in sorted(aliases.items()) if version == record.version]


def aliases_of(name: str) -> dict[str, str]:
    """Return the aliases of a registered model, each with its version."""
    found = mlflow.MlflowClient().get_registered_model(name).aliases
    return {str(alias): str(version) for alias, version in found.items()}


def _cohorts(record: VersionRecord) -> str:
    if record.recalibrated is not None:
        return f"recalibrated on {record.tags.get('recalibrated_on', 'unknown')}"
    return examples(record.cohorts, most=2) or _NONE


def _verdict(record: GateRecord | None) -> str:
    if record is None:
        return "not judged"
    if record.verdict == "passed":
        return "passed"
    return f"{record.verdict} ({len(record.failed)} of {len(record.checks)} failed)"


def _or_none(text: str | None) -> str:
    return _NONE if text is None else text


def find_version(asked: str, *, alias: str = "champion") -> VersionRecord:
    """Return the version that NAME/VERSION, NAME@alias or NAME (its champion, else newest) names.

    Raises
    ------
    ModelError
        There is no such model, version or alias; the message names those there are.
    """
    text = asked.removeprefix("models:/").strip()
    name, _, version = text.partition("/")
    name, at, wanted = name.partition("@")
    with store_errors():
        names = registered_names()
        if name not in names:
            raise ModelError(
                f"no model '{name}' in the store {mlflow.get_tracking_uri()}; registered: "
                f"{examples(names) or 'none'} (write NAME, NAME/VERSION or NAME@ALIAS)"
            )
        there, aliases = versions_of(name), aliases_of(name)
        if at and wanted not in aliases:
            raise ModelError(
                f"model '{name}' has no alias '{wanted}'; it has "
                f"{examples(f'{a} (version {v})' for a, v in aliases.items()) or 'none'}"
            )
        if version and version not in there:
            raise ModelError(
                f"model '{name}' has no version '{version}'; it has {examples(there) or 'none'}"
            )
        if not there:
            raise ModelError(f"model '{name}' has no version; train one of this name")
        return read_version(name, version or aliases.get(wanted or alias) or there[0])


def figure_rows(record: VersionRecord) -> list[list[str]]:
    """Return the figures on cohorts held out: name, cohort-relative, reference-relative."""
    rows, scheme = [], record.scheme
    for name, label in _FIGURES.items():
        found = [interval_of(record.metrics, f"{scheme}{ARM_SUFFIX[arm]}.{name}") for arm in ARMS]
        if any(found):
            rows.append([label, *map(_or_none, found)])
    prior = [record.metrics.get(f"baseline.prior.{scheme}{ARM_SUFFIX[arm]}.brier") for arm in ARMS]
    if any(prior):
        texts = [_NONE if value is None else f"{value:.3f}" for value in prior]
        rows.append(["Brier score of the class prior", *texts])
    return rows


def version_page(record: VersionRecord) -> VersionPage:
    """Return what there is to tell of a version."""
    with store_errors():
        aliases = aliases_of(record.name)
    histories = {alias: history_of(record.tags, alias=alias) for alias in _aliases(record, aliases)}
    return VersionPage(
        facts=dict(_facts(record, aliases)),
        figures=_origin_figures(record),
        gate=read_record(record.tags),
        history=[row for alias, history in histories.items() for row in _moves(alias, history)],
    )


def _origin_figures(record: VersionRecord) -> list[list[str]]:
    try:
        return figure_rows(record.origin)
    except ModelError:
        return []


def _facts(record: VersionRecord, aliases: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    tags = record.run_tags
    yield "model", f"{record.name}, version {record.version}"
    yield "alias", ", ".join(_aliases(record, aliases)) or "none"
    yield "registered", f"{record.created:%Y-%m-%d %H:%M} UTC"
    yield "setting", tags.get("setting", "unknown")
    if record.recalibrated is not None:
        yield (
            "recalibrated",
            f"{record.recalibrated}-relative, {_cohorts(record)}, from "
            f"{record.tags.get('recalibrated_from', 'unknown')}, whose figures follow",
        )
    else:
        yield "cohorts", ", ".join(record.cohorts) or "unknown"
    if "samples.labelled" in record.metrics:
        yield "samples", f"{record.metrics['samples.labelled']:.0f} labelled"
    yield "sufficiency", record.tags.get(SUFFICIENCY_TAG, NO_VERDICT)
    version, content = tags.get("catalogue_version"), tags.get("catalogue_hash")
    if version:
        yield "catalogue", f"{version}, {content}"
    code = (tags.get("oncoresist_version", "unknown"), tags.get("git_commit", "unknown"))
    yield "code", f"{code[0]}, commit {code[1]}"
    yield "run", record.run_id or "gone"
    yield from _places(record)


def _places(record: VersionRecord) -> Iterator[tuple[str, str]]:
    """Give where the UI shows run and version; without a server, once ``oncoresist ui`` runs."""
    store = urlsplit(mlflow.get_tracking_uri())
    if store.scheme in ("http", "https"):
        host = store.netloc.rpartition("@")[2]  # without a user's password
        base = urlunsplit((store.scheme, host, store.path.rstrip("/"), "", ""))
    else:
        base = "http://127.0.0.1:5000"
        yield "UI", "oncoresist ui, then:"
    if record.run_id:
        yield "run in UI", f"{base}/#/experiments/{record.experiment_id}/runs/{record.run_id}"
    yield "model in UI", f"{base}/#/models/{quote(record.name)}/versions/{record.version}"


def _moves(alias: str, history: AliasHistory) -> list[list[str]]:
    return [
        [
            alias,
            event.time,
            f"{event.before or 'none'} → {event.version}",
            event.how,
            event.by,
            event.reason or _NONE,
        ]
        for event in reversed(history.events)
    ]
