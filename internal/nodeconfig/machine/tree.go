package machine

// UnitDir is where a node has its units.
const UnitDir = "/etc/systemd/system/"

// Tree returns the files, and the units and drop-ins as files, under their paths on a node.
func (s Settings) Tree() ([]File, error) {
	files, err := s.Files()
	if err != nil {
		return nil, err
	}
	units, err := s.Units()
	if err != nil {
		return nil, err
	}
	for _, u := range units {
		if u.Text != nil {
			files = append(files, File{Path: UnitDir + u.Name, Mode: fileMode, Content: u.Text})
		}
		if u.DropIn != nil {
			files = append(files, File{Path: UnitDir + u.Name + ".d/" + u.DropInName, Mode: fileMode, Content: u.DropIn})
		}
	}
	return files, nil
}
