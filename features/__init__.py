"""Expression to features: the cohort contract, the catalogue of markers, their scores."""

from features.catalogue import Catalogue, default_catalogue, load_catalogue
from features.cohort import CohortReport, check_cohort
from features.errors import (
    CatalogueError,
    CohortError,
    ConfigError,
    ModelError,
    OncoResistError,
)
from features.fingerprint import Fingerprints, find_duplicates
from features.gene_report import GeneReport
from features.genes import GeneTable, GeneTranslation, translate_genes
from features.profile import rank_profile
from features.reference import ReferenceStandardiser, standardise_in_cohort
from features.therapy import DrugTable
from features.transformer import MarkerFeatures

__all__ = [
    "Catalogue",
    "CatalogueError",
    "CohortError",
    "CohortReport",
    "ConfigError",
    "DrugTable",
    "Fingerprints",
    "GeneReport",
    "GeneTable",
    "GeneTranslation",
    "MarkerFeatures",
    "ModelError",
    "OncoResistError",
    "ReferenceStandardiser",
    "check_cohort",
    "default_catalogue",
    "find_duplicates",
    "load_catalogue",
    "rank_profile",
    "standardise_in_cohort",
    "translate_genes",
]
