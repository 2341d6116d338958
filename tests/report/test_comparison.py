from pathlib import Path
from conr.report import write_report
def test_it(grid: Path) -> None:
    import shutil, time
    t=time.time()
    write_report([grid], grid/"out"/"report.html")
    print(time.time()-t)
    shutil.copytree(grid, "/tmp/reportgrid", dirs_exist_ok=True)
