// Package progress carries what long work reports about itself to whoever
// draws it. It imports nothing of this project.
package progress

// Kind says what an Event reports.
type Kind int

// The kinds of events. A phase begins with Start, goes on with Advance and
// Item, and ends with Finish; Note may come at any time.
const (
	// Start begins the phase, or raises its total: Total and Unit are set.
	Start Kind = iota
	// Advance adds N units to what is done of the phase.
	Advance
	// Item says that work on Item (a digest, a reference) began in the phase.
	Item
	// Finish ends the phase.
	Finish
	// Note carries a Message for people, outside of any phase.
	Note
	// Warning carries a Message that people should act on.
	Warning
)

// Unit is what a phase counts.
type Unit string

// The units of phases.
const (
	Bytes Unit = "bytes"
	Count Unit = "count"
	// Step is the unit of a phase that is one step: nothing in it is counted. People are
	// shown it only if it takes time.
	Step Unit = "step"
)

// Event is one report.
type Event struct {
	Kind  Kind
	Phase string // lower case, one or two words: "resolve", "download"
	Total int64  // of the phase, in Unit; 0 where not known
	N     int64  // units done since the last event of the phase
	Unit  Unit
	Item  string
	// Message is the text of a Note or a Warning, and of an Item its name for people.
	Message string
}

// Func receives events. It may be called from many goroutines at once and must
// not block. A nil Func is silent: send through Emit.
type Func func(Event)

// Emit sends e, where f is not nil.
func (f Func) Emit(e Event) {
	if f != nil {
		f(e)
	}
}

// Begin starts a phase of total units.
func (f Func) Begin(phase string, total int64, unit Unit) {
	f.Emit(Event{Kind: Start, Phase: phase, Total: total, Unit: unit})
}

// Add advances a phase by n units.
func (f Func) Add(phase string, n int64) { f.Emit(Event{Kind: Advance, Phase: phase, N: n}) }

// Working names what the phase works on now.
func (f Func) Working(phase, item string) { f.Emit(Event{Kind: Item, Phase: phase, Item: item}) }

// WorkingOn is Working with a name for people, as the image that a layer belongs to.
func (f Func) WorkingOn(phase, item, name string) {
	f.Emit(Event{Kind: Item, Phase: phase, Item: item, Message: name})
}

// During is a phase that is one step: do.
func (f Func) During(phase string, do func() error) error {
	f.Begin(phase, 0, Step)
	err := do()
	if err == nil {
		f.End(phase)
	}
	return err
}

// End finishes a phase.
func (f Func) End(phase string) { f.Emit(Event{Kind: Finish, Phase: phase}) }

// Say sends a message for people.
func (f Func) Say(message string) { f.Emit(Event{Kind: Note, Message: message}) }

// Warn sends a message that people should act on.
func (f Func) Warn(message string) { f.Emit(Event{Kind: Warning, Message: message}) }
