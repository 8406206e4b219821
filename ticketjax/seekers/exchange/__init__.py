"""Exchange: a local search among sparse masks that looks at thousands of changes per round."""

from ticketjax.seekers.exchange.local_search import Moves, search
from ticketjax.seekers.exchange.neighbourhood import Neighbourhood

__all__ = ["Moves", "Neighbourhood", "search"]
