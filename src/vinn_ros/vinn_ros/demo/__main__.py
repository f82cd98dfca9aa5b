"""`python -m vinn_ros.demo`."""

from vinn_ros.demo.app import main

main()
