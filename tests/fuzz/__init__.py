"""What every parser of outside data does with rubbish: the targets, how documents are spoilt, and the suite."""
