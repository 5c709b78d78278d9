"""What tests share: boards, servers, networks and adversaries. Benchmarks use them, too."""
