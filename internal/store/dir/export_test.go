package dir

// ImportStepwise is Import that calls a function before each step.
var ImportStepwise = importStepwise
