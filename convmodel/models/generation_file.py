"""The decoding options that a model folder brings, checked before transformers reads them."""

import logging
from typing import Any

from convmodel.data.json_file import read_json_object
from convmodel.generation.option_checks import check_names, check_values
from convmodel.generation.penalties import OPTIONS
from convmodel.models.folder import local_file

logger = logging.getLogger(__name__)

GENERATION = "generation_config.json"

OF_TRANSFORMERS = ("_from_model_config", "transformers_version")


def read_own_options(source: str) -> dict[str, Any]:
    """Return the options of this package in the decoding options of a folder or Hub name, after checking all of them.

    Transformers leaves these out when it reads the file. It also passes over a file that it cannot read, and fails for
    a wrong value only when a text is generated. Unknown options are logged.

    Raises:
        ValueError: when the file cannot be read, or has a value that is not allowed.
    """
    file = local_file(source, GENERATION)
    if file is None:
        return {}
    options = read_json_object(file, remedy="remove it for the defaults, or copy it again")
    for name in options.keys() - {*OF_TRANSFORMERS}:
        try:
            check_names({name: options[name]})
        except ValueError as error:
            logger.warning("%s: %s; it is passed over", file, error)
    try:
        check_values(options)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return {name: options[name] for name in OPTIONS if name in options}
