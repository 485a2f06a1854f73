"""Local viewer of models and run folders: the server and the page of `sgi-engine view`.

Needs `pip install "sgi-engine[cpu,view]"`.
"""
