"""The log (logboek) of decisions and outcomes: entries, write-ahead file, writer process, client.

The core is pure: `canonical`, `fields`, `decision`, `outcome`, `entries`, `conversion`, `origin`, `book`, `keeper`,
`segment` and `protocol` take values and give values. `files`, `wal`, `key_store`, `commitments`, `server`, `process`,
`client` and `reader` do the I/O. The format is in `docs/ledger-format.md`.
"""
