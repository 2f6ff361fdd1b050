"""Prompt: a versioned instruction to a language model."""

from dataclasses import dataclass
from string import Template

from app.domain.conversation import ChatMessage


@dataclass(frozen=True, slots=True)
class Prompt:
    """One file under `prompts/`: `name`, `version`, the sha-256 `checksum` of its bytes and the templates of its parts.

    Templates use `$name` placeholders (string.Template); text put into them is never interpreted again.
    """

    name: str
    version: int
    checksum: str
    system: str
    user: str

    @property
    def reference(self) -> str:
        """How a stored answer names its prompt: `answer/v1@1a2b3c4d`."""
        return f"{self.name}/v{self.version}@{self.checksum[:8]}"

    @property
    def variables(self) -> frozenset[str]:
        """The names of what is filled in."""
        return frozenset(Template(self.system + self.user).get_identifiers())

    def render(self, **values: str) -> tuple[str, str]:
        """The system and the user part with `values` filled in. Raises KeyError when one is missing."""
        return Template(self.system).substitute(values), Template(self.user).substitute(values)

    def messages(self, **values: str) -> list[ChatMessage]:
        """Both parts as a model gets them. Raises as `render`."""
        system, user = self.render(**values)
        return [ChatMessage("system", system), ChatMessage("user", user)]
