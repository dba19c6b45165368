"""Feature building against reading the files and against scanpy's score_genes, in one run.

Run with ``make bench``; needs the real cohorts of ``../shared``. Prints ratios: absolute seconds
depend on the machine.
"""

import warnings
from pathlib import Path

import anndata as ad
import scanpy as sc

from benchmarks.scale import median_seconds
from features.catalogue import default_catalogue
from features.transformer import MarkerFeatures
from pipelines.config import configuration_folder, data_root, load_cohort, load_experiment
from pipelines.ingest import ingest_cohort

_REPEATS = 5


def main() -> None:
    """Measure on the training cohorts of the ici experiment, one after another."""
    conf = configuration_folder()
    config = load_experiment(conf / "experiments" / "ici.yaml")
    catalogue = default_catalogue()
    root = data_root()
    if not Path(root).is_dir():
        raise SystemExit(f"real cohorts absent: {root}")

    def ingest() -> list[ad.AnnData]:
        configs = [load_cohort(name, conf=conf)[0] for name in config.cohorts.train]
        return [ingest_cohort(c, root=root, labels_required=True).adata for c in configs]

    cohorts = ingest()
    shared = ad.concat(cohorts, join="inner", index_unique="-")
    transformer = MarkerFeatures(catalogue).fit(shared)

    def build() -> None:
        for adata in cohorts:
            transformer.transform(adata)

    def score_genes() -> None:
        for adata in cohorts:
            for marker in catalogue.markers:
                genes = [gene for gene in marker.genes if gene in adata.var_names]
                if genes:
                    sc.tl.score_genes(adata, genes, score_name="_score")

    reading, building = (median_seconds(task, repeats=_REPEATS) for task in (ingest, build))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy = median_seconds(score_genes, repeats=_REPEATS)
    samples = sum(adata.n_obs for adata in cohorts)
    print(f"{samples} samples of {len(cohorts)} cohorts, {len(catalogue.markers)} features")
    print(f"reading and checking the files   {reading:7.2f} s")
    print(
        f"building the features            {building:7.2f} s   {building / reading:.2f} × reading"
    )
    print(f"scanpy score_genes, same sets    {scanpy:7.2f} s   {scanpy / building:.1f} × ours")


if __name__ == "__main__":
    main()
