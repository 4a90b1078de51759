"""Writes every generated file anew: `python -m observability`."""

from observability.writing import ROOT, files

for path, text in files().items():
    ROOT.joinpath(path).write_text(text)
    print(path)
