"""The endpoints, one module per resource, all in one table: :data:`~.table.ENDPOINTS`."""
