from conr.estimators.table_model import TableModel as TableModel
from conr.estimators.table_model import fit_table as fit_table
from conr.estimators.table_run import write_run as write_run
from conr.tables.files import FileFormat as FileFormat
