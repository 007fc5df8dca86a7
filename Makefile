# What a developer types. Each target is one script of tools/, so that it reads the same outside make.

.PHONY: run test soak bench fuzz static docs clean

run:    ## installs what is missing, builds, shows live flows of this machine; Ctrl-C takes everything away again
	@tools/run

test:   ## installs what is missing and runs every check, at the scale named in the first line
	@tools/test test

soak:   ## the same checks at full scale: hours
	@tools/test soak

bench:  ## prints every published number, with the machine and the method
	@tools/bench

fuzz:   ## each fuzz target for FUZZ_SECONDS (600)
	@tools/fuzz

static: ## one binary without shared libraries, for containers and bare hosts
	@tools/static

docs:   ## API documentation, the configuration reference, man page and completions, below target/doc
	@tools/docs

clean:  ## removes what was built here (the test servers in ~/.cache stay)
	cargo clean
	rm -rf fuzz/target
