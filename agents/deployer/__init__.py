"""The deployer: servers for versions, and the traffic between them."""
