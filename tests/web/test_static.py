"""What the browser is sent beside pages: every name in it leads somewhere, and nothing in it breaks the policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.files.storage import storages
from django.core.management import call_command
from django.test import override_settings

STATIC = Path(settings.BASE_DIR) / "static" / "chat"
TEMPLATES = Path(settings.BASE_DIR) / "templates"
MODULES = sorted((STATIC / "js").glob("*.js"))
STYLES = sorted((STATIC / "css").glob("*.css"))
PAGES = sorted(TEMPLATES.rglob("*.html"))
# Linked by a page of their own instead of imported by app.js or app.css.
ENTRIES = {"app.js", "composer-early.js", "theme-early.js", "app.css", "account.css", "admin.css", "remote-image.css"}

ICON_USE = re.compile(r"""_icon\.html"\s+with\s+name="([\w-]+)\"""")
ICON_HERE = re.compile(r'<symbol id="([\w-]+)"')
JS_IMPORT = re.compile(r"""import\s*(?:[\w{}\s,*]+\sfrom\s*)?["'](\.[^"']+)["']""")
CSS_URL = re.compile(r"""url\(["']?([^"')]+)["']?\)""")
INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)", re.IGNORECASE)
INLINE_STYLE = re.compile(r"<style\b|\sstyle\s*=", re.IGNORECASE)
INLINE_HANDLER = re.compile(r"""\son[a-z]+\s*=\s*["']|\shx-on\b|javascript:""", re.IGNORECASE)


def test_every_icon_of_a_template_is_in_the_sprite() -> None:
    drawn = set(ICON_HERE.findall((STATIC / "icons.svg").read_text()))
    used = {name for page in PAGES for name in ICON_USE.findall(page.read_text())}
    assert len(used) > 8
    assert used <= drawn


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TEMPLATES)))
@pytest.mark.parametrize("inline", [INLINE_SCRIPT, INLINE_STYLE, INLINE_HANDLER], ids=["script", "style", "handler"])
def test_a_template_keeps_to_the_policy(page: Path, inline: re.Pattern[str]) -> None:
    assert not inline.search(page.read_text())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_sets_no_style_attribute(module: Path) -> None:
    source = module.read_text()
    assert 'setAttribute("style"' not in source
    assert "cssText" not in source


def test_every_module_and_style_sheet_is_loaded_by_something() -> None:
    imported = {Path(name).name for module in MODULES for name in JS_IMPORT.findall(module.read_text())}
    imported |= {Path(name).name for sheet in STYLES for name in CSS_URL.findall(sheet.read_text())}
    assert {file.name for file in [*MODULES, *STYLES]} == imported | ENTRIES


def test_every_module_of_the_page_is_asked_for_at_once() -> None:
    preloaded = re.findall(r"chat/js/([\w-]+\.js)", (TEMPLATES / "chat" / "_modules.html").read_text())
    assert sorted(preloaded) == sorted({module.name for module in MODULES} - ENTRIES)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_asks_for_names_that_the_other_exports(module: Path) -> None:
    for names, source in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', module.read_text()):
        exported = set(
            re.findall(r"export (?:async )?(?:function|const|class) (\w+)", (STATIC / "js" / source).read_text())
        )
        assert {name.strip() for name in names.split(",")} <= exported


def test_an_id_that_a_module_looks_for_is_in_a_template() -> None:
    given = {name for page in PAGES for name in re.findall(r'\bid="([\w-]+)"', page.read_text())}
    wanted = {name for module in MODULES for name in re.findall(r'byId\("([\w-]+)"\)', module.read_text())}
    assert len(wanted) > 8
    assert wanted <= given


def test_collected_files_name_each_other_by_their_hashed_names(tmp_path: Path) -> None:
    hashed = {**settings.STORAGES, "staticfiles": {"BACKEND": "chatsite.static.HashedStaticFiles"}}
    with override_settings(STORAGES=hashed, STATIC_ROOT=tmp_path):
        call_command("collectstatic", interactive=False, verbosity=0)
        storage = storages["staticfiles"]
        files = [tmp_path / storage.stored_name(f"chat/{kind}/{path.name}") for kind, path in kinds()]
    for file in files:
        names = JS_IMPORT.findall(file.read_text()) if file.suffix == ".js" else CSS_URL.findall(file.read_text())
        for name in names:
            assert re.search(r"\.[0-9a-f]{12}\.(js|css)$", name), f"{file.name} names {name}"
            assert (file.parent / name).is_file(), f"{file.name} names {name}"


def kinds() -> list[tuple[str, Path]]:
    return [("js", path) for path in MODULES] + [("css", path) for path in STYLES]


def test_every_static_file_that_a_template_names_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"{% static '([^']+)' %}", page.read_text())}
    assert "chat/css/app.css" in named
    assert not [name for name in named if finders.find(name) is None]
