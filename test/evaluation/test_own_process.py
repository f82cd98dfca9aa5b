from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap

import pytest


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_a_killed_caller_takes_its_process_along() -> None:
    program = textwrap.dedent(
        """
        import threading
        import os
        from vinn.evaluation.own_process import OwnProcess

        if __name__ == "__main__":
            process = OwnProcess()
            print(process.call(os.getpid), flush=True)
            threading.Event().wait()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None
        worker = int(caller.stdout.readline())
        handle = os.pidfd_open(worker)
        try:
            os.kill(caller.pid, signal.SIGKILL)
            caller.wait()
            # A pidfd is readable once its process has ended.
            assert select.select([handle], [], [], 60)[0], "the process outlives its caller"
        finally:
            os.close(handle)
