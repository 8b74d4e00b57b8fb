"""The nodes of the pack, as ComfyUI asks for them."""

from comfy_api.latest import ComfyExtension, io

from .classification_prompt import ClassificationPrompt
from .example_picture import ExamplePictureNode
from .image_to_hard_prompt import ImageToHardPrompt
from .load_embedded_models import LoadEmbeddedModels
from .load_encoder import LoadEncoder
from .load_language_model import LoadLanguageModel
from .negative_prompt import NegativePrompt
from .pick_prompt import PickPrompt
from .picture_similarity import PictureSimilarity
from .prompt_concat import PromptConcat
from .prompt_distill import PromptDistill
from .prompt_score import PromptScore
from .search_settings import SearchSettingsNode
from .style_extract import StyleExtract


class PEZExtension(ComfyExtension):
    """Hands the nodes to ComfyUI."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            ImageToHardPrompt,
            PromptDistill,
            PromptConcat,
            StyleExtract,
            NegativePrompt,
            PromptScore,
            PictureSimilarity,
            PickPrompt,
            LoadEncoder,
            LoadEmbeddedModels,
            ExamplePictureNode,
            SearchSettingsNode,
            LoadLanguageModel,
            ClassificationPrompt,
        ]


async def comfy_entrypoint() -> PEZExtension:
    return PEZExtension()
