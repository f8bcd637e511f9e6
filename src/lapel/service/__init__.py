"""The service layer: every use case once, for all apps.

``open_store(folder)`` gives the :class:`Store` that has them as methods.

Nothing here prints. Long work takes a ``progress`` callback, called with (done, total or None); results are frozen
dataclasses; what cannot be done raises a :class:`lapel.core.errors.LapelError`. Apps import this package,
``lapel.core.types`` and ``lapel.core.errors``, and nothing else. Importing it is light: a module is loaded by the first
name that is asked of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lapel.core.text import counted, fold, printable, reason_of, shortened

if TYPE_CHECKING:
    from lapel.catalog.watching import Finding as WatchFinding
    from lapel.core.events import Erasure, EventReport, PersonExport
    from lapel.core.settings import described as list_settings
    from lapel.core.settings import files as settings_files
    from lapel.core.settings import settings
    from lapel.engine.check import Difference as IndexDifference
    from lapel.engine.index_sync import IndexStatus
    from lapel.engine.media_check import MediaCheckReport
    from lapel.engine.models import KnownModel, ModelChange
    from lapel.engine.recommend.asking import RowQuery, RowSettings
    from lapel.engine.rules import Rule
    from lapel.insight.audit_labels import LabelAudit, LabelFill, Suggestion
    from lapel.insight.catalogue_map import CatalogueMap
    from lapel.insight.clusters import Cluster, Clusters
    from lapel.insight.duplicates import Duplicates
    from lapel.insight.findings import Case, Findings, Picture
    from lapel.insight.new_picture import NewCheck
    from lapel.insight.price import PriceEstimate
    from lapel.insight.report import EvalReport, category_heading
    from lapel.insight.report import heading as report_heading
    from lapel.insight.tuning import Trial
    from lapel.service.adding import AddReport, AddRequest, RemoveReport, add_to_store
    from lapel.service.backup import BackupReport
    from lapel.service.browsing import BrowseResult, Overview, ProductDetails, by_size, field_label
    from lapel.service.drive import DriveUpload, drive_login, drive_upload
    from lapel.service.images import (
        decode,
        fetch_image,
        fetch_link,
        image_formats,
        image_places,
        image_suffixes,
        lazy_image,
        read_image_bytes,
        read_stream,
    )
    from lapel.service.index import IndexService
    from lapel.service.information import StoreInfo
    from lapel.service.keys import EVERYTHING, SCOPES, Access, KeyRefusedError
    from lapel.service.media import MediaService
    from lapel.service.models import ModelService
    from lapel.service.preview import TablePreview, preview_table
    from lapel.service.products import ChangedError, ProductPut, PutResult
    from lapel.service.products import version as product_version
    from lapel.service.recommend import SubstituteReport, read_row_settings
    from lapel.service.results import (
        answer_json,
        details_json,
        embedded_json,
        explanation_json,
        hit_json,
        photo_json,
        product_json,
        result_json,
    )
    from lapel.service.rules import RulePreview, made_rule
    from lapel.service.store import Store, open_store, restore_store, store_exists
    from lapel.service.thumbnails import tile
    from lapel.service.watching import WatchService, finding_json
    from lapel.sources.uploads import UploadedZip

_HOMES = {
    "RowQuery": "lapel.engine.recommend.asking",
    "RowSettings": "lapel.engine.recommend.asking",
    "Rule": "lapel.engine.rules",
    "RulePreview": "lapel.service.rules",
    "SubstituteReport": "lapel.service.recommend",
    "made_rule": "lapel.service.rules",
    "read_row_settings": "lapel.service.recommend",
    "Erasure": "lapel.core.events",
    "EventReport": "lapel.core.events",
    "PersonExport": "lapel.core.events",
    "Access": "lapel.service.keys",
    "AddReport": "lapel.service.adding",
    "AddRequest": "lapel.service.adding",
    "BackupReport": "lapel.service.backup",
    "BrowseResult": "lapel.service.browsing",
    "ChangedError": "lapel.service.products",
    "Cluster": "lapel.insight.clusters",
    "Clusters": "lapel.insight.clusters",
    "DriveUpload": "lapel.service.drive",
    "EVERYTHING": "lapel.service.keys",
    "EvalReport": "lapel.insight.report",
    "CatalogueMap": "lapel.insight.catalogue_map",
    "Duplicates": "lapel.insight.duplicates",
    "Case": "lapel.insight.findings",
    "Findings": "lapel.insight.findings",
    "Picture": "lapel.insight.findings",
    "PriceEstimate": "lapel.insight.price",
    "WatchFinding": "lapel.catalog.watching:Finding",
    "IndexDifference": "lapel.engine.check:Difference",
    "IndexService": "lapel.service.index",
    "IndexStatus": "lapel.engine.index_sync",
    "KeyRefusedError": "lapel.service.keys",
    "KnownModel": "lapel.engine.models",
    "LabelAudit": "lapel.insight.audit_labels",
    "LabelFill": "lapel.insight.audit_labels",
    "MediaCheckReport": "lapel.engine.media_check",
    "MediaService": "lapel.service.media",
    "ModelChange": "lapel.engine.models",
    "ModelService": "lapel.service.models",
    "NewCheck": "lapel.insight.new_picture",
    "Overview": "lapel.service.browsing",
    "ProductDetails": "lapel.service.browsing",
    "TablePreview": "lapel.service.preview",
    "preview_table": "lapel.service.preview",
    "ProductPut": "lapel.service.products",
    "PutResult": "lapel.service.products",
    "RemoveReport": "lapel.service.adding",
    "SCOPES": "lapel.service.keys",
    "Store": "lapel.service.store",
    "StoreInfo": "lapel.service.information",
    "Suggestion": "lapel.insight.audit_labels",
    "Trial": "lapel.insight.tuning",
    "UploadedZip": "lapel.sources.uploads",
    "add_to_store": "lapel.service.adding",
    "answer_json": "lapel.service.results",
    "by_size": "lapel.service.browsing",
    "category_heading": "lapel.insight.report",
    "decode": "lapel.service.images",
    "details_json": "lapel.service.results",
    "drive_login": "lapel.service.drive",
    "drive_upload": "lapel.service.drive",
    "fetch_image": "lapel.service.images",
    "fetch_link": "lapel.service.images",
    "WatchService": "lapel.service.watching",
    "finding_json": "lapel.service.watching",
    "field_label": "lapel.service.browsing",
    "hit_json": "lapel.service.results",
    "image_formats": "lapel.service.images",
    "image_places": "lapel.service.images",
    "image_suffixes": "lapel.service.images",
    "lazy_image": "lapel.service.images",
    "list_settings": "lapel.core.settings:described",
    "open_store": "lapel.service.store",
    "photo_json": "lapel.service.results",
    "product_json": "lapel.service.results",
    "product_version": "lapel.service.products:version",
    "read_image_bytes": "lapel.service.images",
    "read_stream": "lapel.service.images",
    "report_heading": "lapel.insight.report:heading",
    "restore_store": "lapel.service.store",
    "result_json": "lapel.service.results",
    "embedded_json": "lapel.service.results",
    "explanation_json": "lapel.service.results",
    "settings": "lapel.core.settings",
    "settings_files": "lapel.core.settings:files",
    "store_exists": "lapel.service.store",
    "tile": "lapel.service.thumbnails",
}

__all__ = [
    "EVERYTHING",
    "SCOPES",
    "Access",
    "AddReport",
    "AddRequest",
    "BackupReport",
    "BrowseResult",
    "Case",
    "CatalogueMap",
    "ChangedError",
    "Cluster",
    "Clusters",
    "DriveUpload",
    "Duplicates",
    "Erasure",
    "EvalReport",
    "EventReport",
    "Findings",
    "IndexDifference",
    "IndexService",
    "IndexStatus",
    "KeyRefusedError",
    "KnownModel",
    "LabelAudit",
    "LabelFill",
    "MediaCheckReport",
    "MediaService",
    "ModelChange",
    "ModelService",
    "NewCheck",
    "Overview",
    "PersonExport",
    "Picture",
    "PriceEstimate",
    "ProductDetails",
    "ProductPut",
    "PutResult",
    "RemoveReport",
    "RowQuery",
    "RowSettings",
    "Rule",
    "RulePreview",
    "Store",
    "StoreInfo",
    "SubstituteReport",
    "Suggestion",
    "TablePreview",
    "Trial",
    "UploadedZip",
    "WatchFinding",
    "WatchService",
    "add_to_store",
    "answer_json",
    "by_size",
    "category_heading",
    "counted",
    "decode",
    "details_json",
    "drive_login",
    "drive_upload",
    "embedded_json",
    "explanation_json",
    "fetch_image",
    "fetch_link",
    "field_label",
    "finding_json",
    "fold",
    "hit_json",
    "image_formats",
    "image_places",
    "image_suffixes",
    "lazy_image",
    "list_settings",
    "made_rule",
    "open_store",
    "photo_json",
    "preview_table",
    "printable",
    "product_json",
    "product_version",
    "read_image_bytes",
    "read_row_settings",
    "read_stream",
    "reason_of",
    "report_heading",
    "restore_store",
    "result_json",
    "settings",
    "settings_files",
    "shortened",
    "store_exists",
    "tile",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lapel.service' has no attribute '{name}'")
    home, _, own = _HOMES[name].partition(":")
    return getattr(importlib.import_module(home), own or name)
