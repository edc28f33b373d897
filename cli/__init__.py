"""The operator's commands: `v2g`, one module per noun, one folder for the demonstration.

Where do I go to…
    …see every command?                      cli.main
    …change how results are printed?         cli.output
    …follow the demonstration?               cli.demo
    …see how docs and the map are made?      cli.docs, cli.map
    …speak to the Prefect server?            cli.prefect_link
"""
