"""Systems that NMP-QAT is compared with, each as its authors describe it, in the same training harness."""
