"""Everything that the package raises on purpose.

    InterpError
    ├── ModelError               a model cannot be used
    │   ├── ModelUnavailable     it is not here and cannot be fetched
    │   └── UnknownArchitecture  nobody told us where its layers are
    ├── SiteError                no such activation in this model
    ├── TextError                a text, token or position that the model cannot take
    ├── TextsUnavailable         texts to train on are not here and cannot be fetched
    ├── DictionaryError          a dictionary that cannot be read, or does not fit
    ├── CorpusError              a corpus folder that cannot be read, written or gone on with
    ├── AlignmentError           two prompts that do not line up
    ├── RemoteError              work on a server that did not come to its end
    │   ├── ServerUnavailable    it is down, out of reach, too slow, or no such server
    │   ├── KeyRefused           it does not accept the key, or wants one
    │   ├── AnswerGone           the answer of an earlier job, or what is known of it, is kept no longer
    │   └── ModelNotServed       it does not have the model and cannot load it
    ├── RecordingError           a recording that cannot be read or written
    │   └── NotRecorded          something was asked that it does not hold
    ├── GraphError               a circuit graph, or a file of one, that does not hold together
    ├── KeptError                a page or notebook whose panels cannot be made again
    ├── FrameError               a frame without the columns it must have
    ├── SaveError                a figure or a table that cannot be written as asked
    └── Cancelled                the person, or a newer request, stopped the work

Each message is one or two sentences: what was wrong, what was expected, what to do next. Panels show it as it stands.
"""

from __future__ import annotations


class InterpError(Exception):
    """Base of all errors of this package."""


class ModelError(InterpError):
    """A model cannot be used."""


class ModelUnavailable(ModelError):
    """A model is not on this machine and cannot be fetched."""


class UnknownArchitecture(ModelError):
    """The architecture table has no row for a model."""


class SiteError(InterpError):
    """A site that does not exist in a model, or a name that is no site."""


class TextError(InterpError):
    """A text, token or position that a model cannot take."""


class TextsUnavailable(InterpError):
    """Texts that are not on this machine and cannot be fetched, or a source of texts that nobody knows."""


class DictionaryError(InterpError):
    """A dictionary that cannot be read, or that does not fit the model."""


class CorpusError(InterpError):
    """A corpus folder that cannot be read, written or gone on with."""


class AlignmentError(InterpError):
    """Two prompts whose tokens do not line up."""


class RemoteError(InterpError):
    """Work on a server that did not come to its end."""


class ServerUnavailable(RemoteError):
    """A server that is down, out of reach, too slow, or not what it should be."""


class KeyRefused(RemoteError):
    """A server that does not accept the key, or that wants one."""


class ModelNotServed(RemoteError):
    """A server that does not have a model and cannot load it."""


class AnswerGone(RemoteError):
    """An earlier job whose answer, or what is known of it, is kept no longer."""


class RecordingError(InterpError):
    """A recording that cannot be read or written."""


class NotRecorded(RecordingError):
    """Something that a recording does not hold was asked of it."""


class FrameError(InterpError):
    """A frame that does not have the columns it must have."""


class SaveError(InterpError):
    """A figure or a table that cannot be written as asked."""


class GraphError(InterpError):
    """A circuit graph that does not hold together, or a file of one that cannot be read or written."""


class KeptError(InterpError):
    """A page, notebook or output that holds no panel, or one that this version cannot make again."""


class Cancelled(InterpError):
    """The work was stopped by the person or by a newer request."""
