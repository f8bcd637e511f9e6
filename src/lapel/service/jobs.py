"""Long work that goes on after its answer: feeds, another model, an index built anew. ``store.jobs``.

A job is a row of the catalogue. Any process that serves the store may do it; when that process ends, the next one goes
on, as adding and changing the model go on where they stopped.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import re
import secrets
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapel.catalog.jobs import Job
from lapel.core.errors import InputError, LapelError, QueryError, StoreBusyError, TableError
from lapel.core.signing import sign_webhook
from lapel.core.text import reason_of
from lapel.engine.context import StoreContext
from lapel.service.adding import AddRequest, add
from lapel.service.asking import filter_of
from lapel.service.index import IndexService
from lapel.service.media import MediaService
from lapel.service.models import ModelService
from lapel.service.products import LINK_SCHEMES
from lapel.service.uploads import UPLOADS
from lapel.sources.cells import raw_text
from lapel.sources.mapping import ColumnMap
from lapel.sources.records import open_records
from lapel.sources.table import read_table

if TYPE_CHECKING:
    from lapel.insight.findings import Findings
    from lapel.service.insight import InsightCalls

logger = logging.getLogger(__name__)

QUESTIONS = (
    "duplicates",
    "clusters",
    "audit_labels",
    "fill_labels",
    "audit_photos",
    "audit_assortment",
    "trends",
)
NOT_OPTIONS = ("self", "where", "progress", "searches")  # of a question: the last is a file of this machine
NO_OPTIONS: Mapping[str, Any] = {}
FINDINGS = "findings"  # name of the files that hold what a question found
LEFT_OUT = "left-out.csv"  # the rows of a table that could not be used, as they were written
FOLDER = "jobs"  # in the store: what jobs bring along and leave
TICK_SECONDS = 0.5
BEAT_SECONDS = 5.0
BUSY_SECONDS = 5.0  # after which a job that met another writer is tried again
WEBHOOK_TRIES = 8
WEBHOOK_FIRST = 2.0  # seconds before the second try; doubled for each further one
WEBHOOK_SECONDS = 10.0  # that whoever is told has to answer
Report = Callable[[int, int | None], None]


def _keep_left_out(folder: Path, mapping: ColumnMap) -> None:
    """Write the rows of a job's table that ``rejected.csv`` names, and all other rows of their products."""
    table = read_table(folder / "table", mapping)
    with (folder / "rejected.csv").open(encoding="utf-8", newline="") as file:
        named = list(csv.DictReader(file))
    if table.kind or not named:  # of a shop system: several rows make a product
        return
    lines, products = {row["line"] for row in named}, {row["product"] for row in named} - {""}
    key = table.plan.sources["id"].columns[0]
    with (folder / LEFT_OUT).open("w", encoding="utf-8", newline="") as file:
        written = csv.DictWriter(file, table.columns, extrasaction="ignore")
        written.writeheader()
        for line, cells in open_records(folder / "table"):
            if isinstance(cells, dict) and (str(line) in lines or raw_text(cells.get(key)) in products):
                written.writerow({name: raw_text(cells.get(name)) for name in table.columns})


def _as_sentence(text: str) -> str:
    """With a capital letter, unless it begins with an address."""
    return text if "://" in text.partition(" ")[0] else text[:1].upper() + text[1:]


def options_of(question: str) -> tuple[str, ...]:
    """What a question of :data:`QUESTIONS` takes beside ``where``."""
    from lapel.service.insight import InsightCalls

    return tuple(name for name in signature(getattr(InsightCalls, question)).parameters if name not in NOT_OPTIONS)


class _StoppedError(Exception):
    """A job was asked to stop."""


class JobService:
    """The jobs of one store. Safe to share between threads."""

    def __init__(self, context: StoreContext, insight: InsightCalls) -> None:
        self._context = context
        self._insight = insight
        self._table = context.catalog.jobs

    def add_feed(
        self,
        table: bytes,
        *,
        whole: bool = False,
        feed: str = "",
        force: bool = False,
        mapping: tuple[str, ...] = (),
        owner: str = "",
        webhook: str = "",
        webhook_secret: str = "",
    ) -> Job:
        """Add a table of products whose pictures are links.

        Args:
            table: The bytes of a CSV, TSV, JSON, Excel or XML file.
            whole: Whether it is all there is, see :meth:`lapel.service.Store.sync`.
            feed: Which of several feeds it is all of.
            force: See :meth:`lapel.service.Store.sync`.
            mapping: See :meth:`lapel.service.Store.add`.
            owner: Id of the key that asks.
            webhook: A link that is told of the end.
            webhook_secret: What signs that; made when it is empty.
        """
        job_id = uuid.uuid4().hex
        folder = self._folder(job_id)
        folder.mkdir(parents=True)
        (folder / "table").write_bytes(table)
        request = {"whole": whole, "feed": feed, "force": force, "mapping": list(mapping), "bytes": len(table)}
        return self._add("feed", request, owner, webhook, webhook_secret, job_id)

    def add_source(
        self,
        source: str,
        *,
        table: bytes | None = None,
        mapping: tuple[str, ...] = (),
        whole: bool = False,
        feed: str = "",
        force: bool = False,
        owner: str = "",
    ) -> Job:
        """Add a folder, ZIP, table, bucket or Drive of this machine's reach, for those who may read all it can read.

        Args:
            source: See :meth:`lapel.service.Store.add`.
            table: The bytes of a table that names pictures of the source; None without one.
            mapping: See :meth:`lapel.service.Store.add`.
            whole: Whether it is all there is, see :meth:`lapel.service.Store.sync`.
            feed: Which of several feeds it is all of.
            force: See :meth:`lapel.service.Store.sync`.
            owner: Who asks.
        """
        job_id = uuid.uuid4().hex
        folder = self._folder(job_id)
        folder.mkdir(parents=True)
        if table is not None:
            (folder / "table").write_bytes(table)
        request = {"source": source, "table": table is not None, "mapping": list(mapping)}
        return self._add("add", {**request, "whole": whole, "feed": feed, "force": force}, owner, "", "", job_id)

    def keep_upload(self, data: bytes, suffix: str) -> Path:
        """Keep a file that came over the page, such as a ZIP of pictures, in the store: its pictures are read from
        there from now on. What is there already is left as it is, as a job may be reading it.

        Args:
            data: Its bytes.
            suffix: Its ending, such as ``.zip``.

        Raises:
            InputError: it cannot be written.
        """
        path = (self._context.folder / UPLOADS / hashlib.sha256(data).hexdigest()[:24]).with_suffix(suffix)
        try:
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                part = path.with_suffix(f".{secrets.token_hex(4)}.part")
                part.write_bytes(data)
                part.replace(path)
        except OSError as error:
            raise InputError(f"The file cannot be kept in {path.parent}: {reason_of(error)}.") from error
        return path.absolute()

    def check_media(self, *, owner: str = "") -> Job:
        """Visit every photo where it is hosted, see :meth:`lapel.service.MediaService.check`."""
        return self._add("media", {}, owner, "", "")

    def ask(
        self,
        question: str,
        *,
        where: tuple[str, ...] = (),
        options: Mapping[str, Any] = NO_OPTIONS,
        owner: str = "",
        webhook: str = "",
        webhook_secret: str = "",
    ) -> Job:
        """Ask a question of the whole catalogue; :meth:`findings` are what comes of it.

        Args:
            question: One of :data:`QUESTIONS`, the call of :class:`lapel.service.Store` of that name.
            where: Which products, as texts.
            options: Others of that call, such as ``{"least": 0.95}`` of ``duplicates``; files of this machine are none.
            owner: Id of the key that asks.
            webhook: A link that is told of the end.
            webhook_secret: What signs that; made when it is empty.

        Raises:
            QueryError: there is no such question, it takes no such option, or the filter cannot be read.
        """
        if question not in QUESTIONS:
            raise QueryError(f"A question is one of {', '.join(QUESTIONS)}; found '{question[:80]}'.")
        known = options_of(question)
        if unknown := sorted(options.keys() - known):
            raise QueryError(f"'{question}' takes {', '.join(known)}; found '{unknown[0][:80]}'.")
        filter_of(where)
        request = {"question": question, "where": list(where), "options": dict(options)}
        return self._add("insight", request, owner, webhook, webhook_secret)

    def use_model(self, spec: str, *, owner: str = "", webhook: str = "", webhook_secret: str = "") -> Job:
        """Change the model, see :meth:`lapel.service.ModelService.use`."""
        return self._add("model", {"spec": spec}, owner, webhook, webhook_secret)

    def rollback_model(self, *, owner: str = "", webhook: str = "", webhook_secret: str = "") -> Job:
        """Go back to the model before."""
        return self._add("rollback", {}, owner, webhook, webhook_secret)

    def rebuild_index(self, *, owner: str = "", webhook: str = "", webhook_secret: str = "") -> Job:
        """Build the index anew."""
        return self._add("index", {}, owner, webhook, webhook_secret)

    def _add(
        self, kind: str, request: Mapping[str, Any], owner: str, webhook: str, secret: str, job_id: str = ""
    ) -> Job:
        if webhook and not webhook.startswith(("https://", "http://")):
            raise InputError("A webhook is an http or https link.")
        secret = (secret or secrets.token_urlsafe(32)) if webhook else ""
        return self._table.add(kind, request, owner=owner, job_id=job_id, webhook=webhook, secret=secret)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            QueryError: there is none of this id.
        """
        found = self._table.get(job_id)
        if found is None:
            raise QueryError(
                f"There is no job '{job_id[:80]}'. Jobs that ended long ago are forgotten.", job_id=job_id[:80]
            )
        return found

    def list(self, limit: int = 100) -> list[Job]:
        """The last jobs, the newest first."""
        return self._table.list(limit)

    def cancel(self, job_id: str) -> Job:
        """Ask to stop one; what it has done so far stays.

        Raises:
            QueryError: there is none of this id.
        """
        self.get(job_id)
        self._table.cancel(job_id)
        return self.get(job_id)

    def errors_csv(self, job_id: str) -> str:
        """What a feed held that could not be used: line, product, picture, outcome, reason.

        Raises:
            QueryError: there is no job of this id.
        """
        self.get(job_id)
        path = self._folder(job_id) / "rejected.csv"
        if not path.exists():
            return "line,product,picture,outcome,reason\r\n"
        return self.without_paths(job_id, path.read_text("utf-8"))

    def left_out_csv(self, job_id: str) -> str:
        """The rows of an uploaded table with something that could not be used, as they were written, to be mended and
        added again; empty where there are none, and for a shop system's own feed, whose rows belong together.

        Raises:
            QueryError: there is no job of this id.
        """
        self.get(job_id)
        path = self._folder(job_id) / LEFT_OUT
        return path.read_text("utf-8") if path.exists() else ""

    def findings(self, job_id: str, form: str) -> bytes:
        """What a question of the catalogue found: ``json`` whole, ``csv`` a table, ``html`` a page of pictures.

        Raises:
            QueryError: there is no such job, it was no question, or it has not ended well.
        """
        job = self.get(job_id)
        path = self._folder(job_id) / f"{FINDINGS}.{form}"
        if form not in ("json", "csv", "html") or not path.exists():
            raise QueryError(f"The job '{job_id}' ({job.kind}, {job.state}) has no findings.{form}.", job_id=job_id)
        return path.read_bytes()

    def _folder(self, job_id: str) -> Path:
        return self._context.folder / FOLDER / job_id

    # --- doing them ---------------------------------------------------------------------------------------------------

    def do(self, job: Job, report: Report) -> dict[str, Any]:
        """Do a job here and now; what comes of it.

        Raises:
            LapelError: it cannot be done.
        """
        if job.kind == "feed":
            return self._do_feed(job, report)
        if job.kind == "add":
            return self._do_add(job, report)
        if job.kind == "media":
            found = MediaService(self._context).check(progress=report)
            states = {name: count for name, count in found.states.items() if count}
            return {"photos": found.photos, **states, "hidden": found.hidden, "back": found.back}
        if job.kind in ("model", "rollback"):
            models = ModelService(self._context)
            if job.kind == "model":
                models.use(str(job.request["spec"]), progress=report)
            else:
                models.rollback(progress=report)
            return {"model": models.current.name, "fingerprint": models.current.fingerprint}
        if job.kind == "index":
            return {"vectors": IndexService(self._context).rebuild()}
        if job.kind == "insight":
            return self._do_question(job, report)
        raise InputError(f"The job's kind '{job.kind}' is not known to this version of Lapel.")

    def _do_feed(self, job: Job, report: Report) -> dict[str, Any]:
        folder, asked = self._folder(job.id), job.request
        if not (folder / "table").exists():
            raise TableError("The feed's table is gone. Send it again.")
        wanted = AddRequest(
            folder,
            folder / "table",
            tuple(asked["mapping"]),
            whole=asked["whole"],
            feed=asked["feed"],
            force=asked["force"],
            rejects=folder / "rejected.csv",
            schemes=LINK_SCHEMES,
        )
        told = add(self._context, wanted, report).to_json()
        del told["rejects"]  # a path of this machine; the errors are had from the job
        told["reasons"] = {self.without_paths(job.id, reason): count for reason, count in told["reasons"].items()}
        told["notes"] = [self.without_paths(job.id, note) for note in told["notes"]]
        return told

    def _do_add(self, job: Job, report: Report) -> dict[str, Any]:
        folder, asked = self._folder(job.id), job.request
        wanted = AddRequest(
            asked["source"],
            folder / "table" if asked["table"] else None,
            tuple(asked["mapping"]),
            whole=asked["whole"],
            feed=asked["feed"],
            force=asked["force"],
            rejects=folder / "rejected.csv",
        )
        told = add(self._context, wanted, report).to_json()
        del told["rejects"]
        return told

    def _do_question(self, job: Job, report: Report) -> dict[str, Any]:
        question, folder = str(job.request["question"]), self._folder(job.id)
        asked = {"where": tuple(job.request["where"]), **job.request.get("options", {})}
        found: Findings = getattr(self._insight, question)(**asked, progress=report)
        title = question.replace("_", " ").capitalize()
        self._insight.save_findings(found, folder, FINDINGS, title=title)
        (folder / f"{FINDINGS}.json").write_text(json.dumps(found.to_json()), "utf-8")
        return {"question": question, "summary": found.summary(), "rows": len(found.rows())}

    def without_paths(self, job_id: str, text: str) -> str:
        """A message for whoever sent a table, who does not know this machine's files."""
        for folder in (self._folder(job_id).absolute(), self._folder(job_id)):
            table = re.escape(str(folder / "table"))
            text = re.sub(rf"\b([Tt])he (?:table|feed) {table}", r"\1he feed", text)
            text = re.sub(table, "the feed", text).replace(str(folder), "the request")
        return text

    def forget_table(self, job: Job) -> None:
        """Let go of what a job that has ended brought along, but for the rows that it could not use."""
        folder = self._folder(job.id)
        if (folder / "table").exists() and (folder / "rejected.csv").exists():
            try:
                _keep_left_out(folder, ColumnMap.parse(job.request["mapping"]))
            except LapelError:  # the table cannot be read at all, as the job says
                logger.debug("The job %s leaves no rows", job.id)
        (folder / "table").unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what jobs that are forgotten have left."""
        root = self._context.folder / FOLDER
        for folder in root.iterdir() if root.is_dir() else ():
            if self._table.get(folder.name) is None:
                shutil.rmtree(folder, ignore_errors=True)


class JobRunner:
    """Does the jobs of one store, and tells of their ends, until it is closed. Those that change the store are done one
    after the other, and so are questions beside them.

    Args:
        context: The store.
        jobs: Its jobs.
    """

    def __init__(self, context: StoreContext, jobs: JobService) -> None:
        self._table = context.catalog.jobs
        self._jobs = jobs
        self._name = uuid.uuid4().hex
        self._closed = threading.Event()
        works = {"changes": partial(self._work, False), "questions": partial(self._work, True), "tell": self._tell}
        self._threads = [
            threading.Thread(target=self._loop, args=(work,), name=f"lapel-jobs-{name}", daemon=True)
            for name, work in works.items()
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop: a job that is under way is given back."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, work: Callable[[], bool]) -> None:
        while not self._closed.is_set():
            try:
                busy = work()
            except LapelError as error:  # a busy catalogue, mostly
                logger.warning("Jobs: %s", error)
                busy = False
            except Exception:
                logger.exception("Jobs")
                busy = False
            if not busy:
                self._closed.wait(TICK_SECONDS)

    def _work(self, questions: bool) -> bool:
        job = self._table.claim(self._name, questions=questions)
        if job is None:
            return False
        progress = _Progress(lambda done, total: self._table.beat(job.id, self._name, done, total), self._closed)
        result: dict[str, Any] = {}
        error: dict[str, Any] = {}
        try:
            with progress:
                result, state = self._jobs.do(job, progress.report), "done"
        except _StoppedError:
            if progress.why != "cancel":
                self._table.release(job.id, self._name)
                return False
            state = "cancelled"
        except StoreBusyError:
            self._table.release(job.id, self._name, after=BUSY_SECONDS)
            return False
        except LapelError as found:
            said = self._jobs.without_paths(job.id, str(found))
            state, error = "failed", {"code": found.code, "message": _as_sentence(said)}
        except Exception as found:
            logger.exception("The job %s failed", job.id)
            state, error = "failed", {"code": "internal_error", "message": type(found).__name__}
        self._table.finish(job.id, self._name, state, result=result, error=error)
        self._jobs.forget_table(job)
        return True

    def _tell(self) -> bool:
        from lapel.sources.links import LinkSettings
        from lapel.sources.web import post

        job = self._table.due_webhook(2 * WEBHOOK_SECONDS)
        if job is None:
            return False
        body = json.dumps({"type": "job.ended", "job": job.to_json()}).encode()
        headers = {
            "Content-Type": "application/json",
            "Lapel-Signature": sign_webhook(job.webhook_secret, body, int(time.time())),
            "Lapel-Delivery": f"{job.id}-{job.webhook_tries}",
        }
        limits = LinkSettings.of_process()
        try:
            status = post(
                job.webhook, body, headers, timeout=WEBHOOK_SECONDS, allowed=lambda host: host in limits.allow
            )
        except InputError as error:
            logger.info("The webhook of the job %s: %s", job.id, error)
            status = 0
        if 200 <= status < 300:
            self._table.told(job.id, "delivered")
        elif job.webhook_tries >= WEBHOOK_TRIES:
            self._table.told(job.id, "given up")
        else:
            self._table.told(job.id, "waiting", next_in=WEBHOOK_FIRST * 2 ** (job.webhook_tries - 1))
        return True


class _Progress:
    """Says every few seconds how far a job is, and hears whether it should stop."""

    def __init__(self, beat: Callable[[int, int | None], str], closed: threading.Event) -> None:
        self._beat, self._closed = beat, closed
        self._over = threading.Event()
        self._at: tuple[int, int | None] = (0, None)
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self.why = ""

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def report(self, done: int, total: int | None) -> None:
        """Called by the work.

        Raises:
            _StoppedError: it should stop.
        """
        self._at = (done, total)
        self._say()
        if self._closed.is_set():
            self.why = self.why or "closed"
        if self.why:
            raise _StoppedError

    def _say(self) -> None:
        try:
            heard = self._beat(*self._at)
        except StoreBusyError:
            return
        if heard != "go on":
            self.why = heard

    def _loop(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._say()
