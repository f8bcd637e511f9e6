"""What to show next: rows of recommendations from what people did, what products look like and what the shop wants.

``Recommender(store, engine, rules).recommend(RowQuery("similar", product_id="1163"))``. Candidates come from ``rows``,
what every row promises is kept in ``choosing``, what the shop wants in ``rules``.
"""
