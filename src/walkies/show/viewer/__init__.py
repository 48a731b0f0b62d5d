"""The live view: a page on this machine that shows robots in 3-D while they learn, or lets you drive one."""
