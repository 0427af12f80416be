package dir

// WithStep returns opts with a function that is called before each step.
func WithStep(opts Options, step func(name string) error) Options {
	opts.step = step
	return opts
}
