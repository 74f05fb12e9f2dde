"""What models are trained on: batches in an order that all arms share, from text or from synthetic tasks.

numpy only: batches become tensors where they are used.
"""

from paribus.data.alternating import Alternating as Alternating
from paribus.data.batch import IGNORED as IGNORED
from paribus.data.batch import Batch as Batch
from paribus.data.continuation import Continuation as Continuation
from paribus.data.source import Batches as Batches
from paribus.data.source import Source as Source
from paribus.data.source import Stream as Stream
from paribus.data.synthetic.copy_task import Copy as Copy
from paribus.data.synthetic.final_question import FinalQuestion as FinalQuestion
from paribus.data.synthetic.recall import MultiQueryRecall as MultiQueryRecall
from paribus.data.text_source import Text as Text
