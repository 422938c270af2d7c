"""Content that remembers how it was read."""

from dataclasses import dataclass, field


@dataclass
class Ranged:
    """Content that remembers which ranges of it were read."""

    octets: bytes
    lengths: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.octets)

    def read_at(self, offset: int, length: int) -> memoryview:
        assert offset >= 0
        self.lengths.append(length)
        return memoryview(self.octets)[offset : offset + length]
