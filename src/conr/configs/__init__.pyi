from conr.methods.presets import dataset_names as dataset_names
from conr.methods.presets import method_names as method_names
from conr.methods.presets import preset_config as preset_config
from conr.methods.presets import preset_names as preset_names
