"""Make calls in several threads."""

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread


def in_parallel(calls: Sequence[Callable[[], object]], jobs: int) -> None:
    """Make calls in threads; raise what one raises.

    The threads end with the process, so an interrupt waits for none of them.
    """
    waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    for call in calls:
        waiting.put(call)
    for _ in range(min(jobs, len(calls))):
        Thread(target=_work, args=(waiting, ended), daemon=True).start()
    for _ in calls:
        if (error := ended.get()) is not None:
            raise error


def _work(
    waiting: "SimpleQueue[Callable[[], object]]", ended: "SimpleQueue[BaseException | None]"
) -> None:
    while True:
        try:
            call = waiting.get_nowait()
        except Empty:
            return
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - crosses a thread; it is raised again there
            ended.put(error)
        else:
            ended.put(None)
