package machine

// artifactsConf returns CRI-O's drop-in with the stores of OCI artifacts. CRI-O reads what is
// in them each time, but looks for the stores only when it starts: it leaves out one that is
// sealed and has no artifacts then.
func artifactsConf(stores []string) ([]byte, error) {
	var conf struct {
		Crio struct {
			Runtime struct {
				Stores []string `toml:"additional_artifact_stores"`
			} `toml:"runtime"`
		} `toml:"crio"`
	}
	conf.Crio.Runtime.Stores = stores
	return crioDropIn("OCI artifacts of the slots", conf)
}
