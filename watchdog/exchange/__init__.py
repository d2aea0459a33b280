"""What every HTTP exchange with the outside needs: connections that keep a deadline, answers that are not trusted."""
