"""The screen that shows the demo's story."""

from collections.abc import Iterable, Mapping

from pytp_broker.http import paths


class Screen:
    """Prints the story, in colours if the terminal shows them."""

    def __init__(self, *, is_coloured: bool) -> None:
        self._is_coloured = is_coloured

    def begin(self, issuer_url: str, broker_url: str, repositories: Mapping[str, str]) -> None:
        """Print the addresses, and the repository that each registry trusts."""
        print(self._style("1", "From a CI job's identity to an installed package, with no secret"))
        print(f"  issuer    {issuer_url}   stands in for GitHub Actions")
        for name, repository in repositories.items():
            upload_url = paths.LEGACY.url(f"{broker_url}/{name}")
            print(f"  registry  {upload_url:42}  trusts {repository}")

    def show(self, title: str, lines: Iterable[str], *, passed: bool) -> None:
        """Show a step and its lines."""
        mark = self._style("32", "✓") if passed else self._style("31", "✗")
        print(f"{mark} {title}")
        for line in lines:
            print(self._style("2", f"    {line}"), flush=True)

    def end(self, played: list[bool], seconds: float) -> None:
        """Print the result."""
        if all(played):
            print(self._style("32", f"All {len(played)} steps passed in {seconds:.1f} s"))
        else:
            print(self._style("31", f"Step {len(played)} failed; the story ends here"))

    def _style(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_coloured else text
