"""Pages of runs: what came in, what was refused, what was paid, what waits; as Markdown and a picture.

Where do I go to…
    …see how text from outside gets onto a page?        markdown
    …change the page of a settling run?                 settled
    …change the pages of all other runs?                others
    …see which event is drawn, and from what?           events
    …change how it is drawn?                            curves, picture

Everything here is text made from summaries and short queries; ``tasks.prefect_tasks.publishing`` puts it
onto the run. Each list is cut and says so, so that no page outgrows its reader.
"""
