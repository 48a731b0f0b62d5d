"""`walkies share`: a trained robot in one HTML file that anybody drives, without a network or an installation.

The engine is the native one, compiled to WebAssembly; policy and control loop are those of the examination, in
JavaScript. What the page knows of the robot is written by `content`.
"""
