"""The description of what a node serves: OpenAPI 3.1, from the table of routes and the types of its JSON."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ehrcore import __version__
from ehrcore.drive.net.plan import NetworkPlan
from ehrcore.drive.net.web.page import HTML_MEDIA
from ehrcore.drive.net.web.problems import PROBLEM_MEDIA, PROBLEMS, ProblemView
from ehrcore.drive.net.web.routes import Content, Route
from ehrcore.drive.net.web.views import JSON_MEDIA, KindName, RecordView, TransactionView

_REFERENCE: Final = "#/components/schemas/{name}"
_ABOUT: Final = (
    "One node of a permissioned chain for health records. Digests, keys and signatures are lower-case hexadecimal; "
    "times are nanoseconds since 1970 as integers of 64 bits. Refusals are problem details (RFC 9457)."
)


def build_openapi(plan: NetworkPlan, name: str, routes: Sequence[Route]) -> dict[str, Any]:
    """The document for the node ``name`` that serves ``routes``."""
    kinds = [content.kind for route in routes for content in (*route.bodies, route.answer) if _is_view(content)]
    kinds.append(ProblemView)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    known = dict(zip(map(str, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known, plan.chain)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"ehrcore {name}", "version": __version__, "description": _ABOUT},
        "servers": [{"url": plan.url(name)}],
        "paths": paths,
        "components": {"schemas": components},
    }
    if plan.tls:
        document["components"]["securitySchemes"] = {"node": {"type": "mutualTLS"}}
        document["security"] = [{"node": []}]
    return document


def _is_view(content: Content) -> bool:
    return content.kind not in {bytes, str, Any}


def _operation(route: Route, known: dict[str, Any], chain: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__ if route.path != "/transaction" else "find_transaction_page",
        "summary": _summary(route),
        "responses": {str(route.status): _answer(route.answer, known), **_problems(route, known)},
    }
    if route.parameters:
        operation["parameters"] = [
            {"name": item.name, "in": item.place, "required": item.place == "path", "description": item.text,
             "schema": item.schema}
            for item in route.parameters
        ]  # fmt: skip
    if route.bodies:
        content = {item.media: _media(item, known) for item in route.bodies}
        if JSON_MEDIA in content:
            content[JSON_MEDIA]["example"] = _example(chain)
        text = " ".join(f"{item.media}: at most {item.most_bytes:,} bytes. {item.text}" for item in route.bodies)
        operation["requestBody"] = {"required": True, "description": text, "content": content}
    return operation


def _summary(route: Route) -> str:
    return (route.handler.__doc__ or "").partition("\n")[0]


def _media(content: Content, known: dict[str, Any]) -> dict[str, Any]:
    """A media type with its schema; canonical bytes have none in JSON Schema (OpenAPI 3.1, section 4.8.14.2)."""
    if content.kind is bytes:
        return {}
    if content.kind is str:
        return {"schema": {"type": "string"}}
    return {"schema": {"type": "object"} if content.kind is Any else known[str(content.kind)]}


def _answer(content: Content, known: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": content.text}
    if content.media:
        answer["content"] = {content.media: _media(content, known)}
    return answer


def _problems(route: Route, known: dict[str, Any]) -> dict[str, Any]:
    """Refusals by status, each with the slugs and titles that it may stand for."""
    by_status: dict[int, list[str]] = {}
    for slug in dict.fromkeys(route.all_problems):
        by_status.setdefault(PROBLEMS[slug][0], []).append(f"{slug}: {PROBLEMS[slug][1]}.")
    content: dict[str, Any] = {PROBLEM_MEDIA: {"schema": known[str(ProblemView)]}}
    if route.answer.media == HTML_MEDIA:
        content[HTML_MEDIA] = {"schema": {"type": "string"}}
    return {
        str(status): {"description": " ".join(texts), "content": content} for status, texts in sorted(by_status.items())
    }


def _example(chain: str) -> Any:
    """A transaction of the right form, with a signature that is none."""
    record = RecordView(KindName.DIAGNOSTIC_REPORT, "5e" * 32, "d1" * 32, "fhir/DiagnosticReport/1", 1_024)
    return msgspec.to_builtins(TransactionView(chain, "visitor-0", 1, 1_767_225_600_000_000_000, record, "00" * 64))
