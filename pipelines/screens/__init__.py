"""Drug screens: how well resistance to drugs is predicted, and what carries over."""
