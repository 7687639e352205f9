"""The files of the page, without a browser: how they are served, and what may not stand in them."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import convmodel.serving
from convmodel.serving.app import create_app
from convmodel.serving.service import Service
from convmodel.serving.static_page import read_web_files
from tests.fakes import FakeResponder

WEB = Path(convmodel.serving.__file__).parent / "web"
SCRIPTS = sorted(WEB.glob("*.js"))
HTML = (WEB / "index.html").read_text(encoding="utf-8")

BECOMES_HTML = (
    r"innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|setHTML|DOMParser|srcdoc|document\.write"
    r"|\beval\(|new Function|javascript:"
)
"""Whatever could turn a text into something else than a text."""


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = create_app(Service(FakeResponder()))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


# Serving


def test_the_page_is_served_with_a_strict_content_security_policy(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_every_file_of_the_page_exists_and_is_cacheable(client: TestClient) -> None:
    named = re.findall(r'="(web/[^"]+)"', client.get("/").text)
    assert {name.rsplit("/", 1)[1] for name in named} >= {"main.js", "theme.js", "style.css", "icon.svg"}
    for name in named:
        answer = client.get(f"/{name}")
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]


def test_an_outdated_page_gets_the_current_files_uncached(client: TestClient) -> None:
    for address in ("/web/0123456789abcdef/main.js", "/web/main.js"):
        answer = client.get(address)
        assert answer.content == (WEB / "main.js").read_bytes()
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


def test_cached_files_are_not_sent_again(client: TestClient) -> None:
    for address in ("/", "/web/style.css"):
        etag = client.get(address).headers["etag"]
        for known in (etag, f'"other", W/{etag}', "*"):
            again = client.get(address, headers={"If-None-Match": known})
            assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == etag
        assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
        assert client.head(address).content == b""


@pytest.mark.parametrize(
    "address",
    ["/web/none.js", "/web/index.html", "/web/../page.py", "/web/..%2Fpage.py", "/web/x/..%2f..%2fpage.py", "/web/"],
)
def test_nothing_else_is_served(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404 and answer.json()["error"]["type"] == "invalid_request_error"


def test_the_page_needs_no_key() -> None:
    from convmodel.serving.auth import Keys

    app = create_app(Service(FakeResponder(), keys=Keys(required=True)))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/").status_code == client.get("/web/main.js").status_code == 200
        assert client.get("/about").status_code == 401


def test_the_address_of_the_files_changes_with_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, files = read_web_files()
    shutil.copytree(WEB, tmp_path / "web")
    monkeypatch.setattr("convmodel.serving.static_page.resources.files", lambda package: tmp_path)
    assert read_web_files()[0] == before
    (tmp_path / "web" / "api.js").write_text("// new\n")
    after, others = read_web_files()
    assert after != before and others["main.js"].etag == files["main.js"].etag
    assert others["index.html"].etag != files["index.html"].etag


def test_the_package_holds_the_files() -> None:
    setup = (WEB.parents[2] / "setup.py").read_text(encoding="utf-8")
    kinds = re.findall(r'"web/\*(\.\w+)"', setup)
    assert {path.suffix for path in WEB.iterdir()} <= set(kinds)


# What stands in them


def test_no_script_can_turn_a_text_into_html() -> None:
    assert len(SCRIPTS) > 10
    for path in SCRIPTS:
        assert not re.search(BECOMES_HTML, path.read_text(encoding="utf-8")), path.name
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", HTML)


def test_the_page_requests_nothing_from_other_sites() -> None:
    for path in sorted(WEB.iterdir()):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\(|['\"]//", text), path.name


def test_every_module_is_short_says_what_it_is_for_and_imports_what_there_is() -> None:
    export = re.compile(r"^export (?:async )?(?:function\*?|class|const) (\w+)", re.MULTILINE)
    exported = {path.name: set(export.findall(path.read_text(encoding="utf-8"))) for path in SCRIPTS}
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < 300, path.name
        assert re.match(r"/\*\*? [^*]+\. ?[^*]*\*/\n", text), path.name
        for names, source in re.findall(r'import \{([^}]+)\} from "\./([^"]+)";', text):
            assert {name.strip() for name in names.split(",")} <= exported[source], f"{path.name}: {source}"
            for name in names.split(","):
                assert len(re.findall(rf"\b{name.strip()}\b", text)) > 1, f"{path.name}: {name} is not used"


def test_every_element_that_a_script_looks_up_exists() -> None:
    made = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    there = set(re.findall(r'\bid="([^"]+)"', HTML)) | set(re.findall(r'\bid: "([^"]+)"', made))
    looked_up = set(re.findall(r'byId\("([^"]+)"\)', made))
    assert looked_up and looked_up <= there, looked_up - there
    pictures = set(re.findall(r'icon: "(\w+)"', made)) | set(re.findall(r"#icon-(\w+)", HTML + made))
    assert pictures <= {name.removeprefix("icon-") for name in there if name.startswith("icon-")}


def test_every_script_is_javascript() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    program = "const {readFileSync} = require('fs'), vm = require('vm');"
    program += "for (const path of process.argv.slice(1)) new vm.SourceTextModule(readFileSync(path, 'utf8'));"
    arguments = [node, "--experimental-vm-modules", "--no-warnings", "-e", program, *map(str, SCRIPTS)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
